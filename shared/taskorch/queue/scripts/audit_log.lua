-- audit_log: lines about what clients of the gateway did, and what was refused to them. A
--            call looks at a bounded number; the cursor continues.
-- KEYS     meta
-- ARGV     7 'before' (the newest first) or 'after' (the oldest first), 8 cursor or '' to
--          begin at that end, 9 access token or '' for all, 10 name or '', 11 verb or '',
--          12 ms ago from which on lines count or '', 13 maximum number
-- RETURNS  {cursor to continue from, '1' if there may be more, else '', {stream entry …}}
-- ERRORS   none of its own
local MAX_LOOKED_AT = 150
local direction, cursor, limit = ARGV[7], ARGV[8], tonumber(ARGV[13])
local token, name, verb = ARGV[9], ARGV[10], ARGV[11]
local since = ARGV[12] == '' and '-' or string.format('%d', math.max(0, now - ARGV[12]))

local function page()
  local log, most = prefix .. 'audit_log', MAX_LOOKED_AT
  if direction == 'after' then
    return call('XRANGE', log, cursor == '' and since or '(' .. cursor, '+', 'COUNT', most)
  end
  return call('XREVRANGE', log, cursor == '' and '+' or '(' .. cursor, since, 'COUNT', most)
end

local function fits(fields)
  return (token == '' or value_of(fields, 'token') == token)
    and (name == '' or value_of(fields, 'name') == name)
    and (verb == '' or value_of(fields, 'verb') == verb)
end

return guarded(function()
  local entries, found = page(), {}
  for _, entry in ipairs(entries) do
    if #found == limit then return {cursor, '1', found} end
    if fits(entry[2]) then table.insert(found, entry) end
    cursor = entry[1]
  end
  return {cursor, #entries == MAX_LOOKED_AT and '1' or '', found}
end)
