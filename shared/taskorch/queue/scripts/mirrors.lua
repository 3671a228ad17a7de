-- mirrors: the roots whose files are kept, those that were written last first, and how it went.
-- KEYS     meta
-- ARGV     7 how many at most
-- RETURNS  {{root, ms of its last pass, status as JSON or '', events behind (to 1000), service as JSON or '',
--          ms when that was seen or ''} …}
-- ERRORS   none of its own
local MOST_COUNTED = 1000

local function behind(cursor)
  if not string.match(tostring(cursor), '^%d+-%d+$') then return 0 end
  return #call('XRANGE', prefix .. 'events', '(' .. cursor, '+', 'COUNT', MOST_COUNTED)
end

return guarded(function()
  local mirrors = {}
  local roots = call('ZREVRANGE', prefix .. 'mirrors', 0, ARGV[7] - 1, 'WITHSCORES')
  for i = 1, #roots, 2 do
    local status, service, seen = unpack(call('HMGET', key('mirror', roots[i]), 'status', 'service', 'service_at'))
    local ok, said = pcall(cjson.decode, status or '{}')
    local cursor = ok and type(said) == 'table' and said.cursor
    table.insert(mirrors, {roots[i], roots[i + 1], status or '', behind(cursor), service or '', seen or ''})
  end
  return mirrors
end)
