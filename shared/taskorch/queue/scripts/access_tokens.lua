-- access_tokens: the access tokens, the newest first; a page of them. No secrets.
-- KEYS     meta
-- ARGV     7 number of tokens to skip, 8 maximum number
-- RETURNS  {number to skip next time, or '' at the end, {{id, name, role, project or '',
--          created ms, by whom, expires ms or '', last used ms or '', from where or '',
--          maximum number of open items or '', of bytes a day or '', of agents or '', and
--          what is used of each; pools such as 'backend,python' or ''} …}, now}
-- ERRORS   none of its own
local DAY_MS = 86400000

return guarded(function()
  local from, limit = tonumber(ARGV[7]), tonumber(ARGV[8])
  local index = prefix .. 'access_tokens'
  local found = {}
  for _, id in ipairs(call('ZREVRANGE', index, from, from + limit - 1)) do
    local token = key('access_token', id)
    local fields = call('HMGET', token, 'name', 'role', 'project', 'created_at', 'created_by',
      'expires_at', 'used_at', 'used_from', 'max_open_items', 'max_bytes', 'max_agents')
    for i = 1, 11 do fields[i] = fields[i] or '' end
    local day, bytes, pools = unpack(call('HMGET', token, 'day', 'bytes', 'pools'))
    local is_today = tonumber(day) == math.floor(now / DAY_MS)
    table.insert(fields, call('SCARD', key('open_items', id)))
    table.insert(fields, is_today and bytes or 0)
    table.insert(fields, call('SCARD', token .. ':agents'))
    table.insert(fields, pools or '')
    table.insert(found, {id, unpack(fields)})
  end
  local next_one = from + limit < call('ZCARD', index) and from + limit or ''
  return {next_one, found, now}
end)
