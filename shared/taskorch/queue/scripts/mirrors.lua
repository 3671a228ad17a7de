-- mirrors: the roots that have a file mirror, the one written last first, and their
--          status; a page of them.
-- KEYS     meta
-- ARGV     7 number of roots to skip, 8 maximum number
-- RETURNS  {number to skip next time, or '' at the end, {{root, ms of its last pass,
--          status as JSON or '', events behind (up to 300), service as JSON or '', ms
--          when the service reported or ''} …}}
-- ERRORS   none of its own
-- Events that are counted for a root. A page ends with the root at which that many were
-- counted in all.
local MAX_COUNTED = 300

-- Returns the number of events after the cursor of a status.
local function events_behind(status)
  local ok, fields = pcall(cjson.decode, status)
  local cursor = ok and type(fields) == 'table' and fields.cursor
  if not string.match(tostring(cursor), '^%d+-%d+$') then return 0 end
  return #call('XRANGE', prefix .. 'events', '(' .. cursor, '+', 'COUNT', MAX_COUNTED)
end

return guarded(function()
  local mirrors, counted, from, limit = {}, 0, tonumber(ARGV[7]), tonumber(ARGV[8])
  local roots = call('ZREVRANGE', prefix .. 'mirrors', from, from + limit - 1, 'WITHSCORES')
  for i = 1, #roots, 2 do
    local root, last_pass = roots[i], roots[i + 1]
    local values = call('HMGET', key('mirror', root), 'status', 'service', 'service_at')
    local status, service, service_at = unpack(values)
    local behind = events_behind(status or '{}')
    counted = counted + behind
    table.insert(mirrors, {root, last_pass, status or '', behind, service or '', service_at or ''})
    if #mirrors == limit or counted >= MAX_COUNTED then
      return {tostring(from + #mirrors), mirrors}
    end
  end
  return {'', mirrors}
end)
