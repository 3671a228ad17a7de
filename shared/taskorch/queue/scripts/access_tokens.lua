-- access_tokens: the access tokens, the newest first; a page of them. No secrets.
-- KEYS     meta
-- ARGV     7 number of tokens to skip, 8 maximum number
-- RETURNS  {number to skip next time, or '' at the end, {{id, name, role, project or '',
--          created ms, by whom, expires ms or '', last used ms or '', from where or ''}
--          …}, now}
-- ERRORS   none of its own
return guarded(function()
  local from, limit = tonumber(ARGV[7]), tonumber(ARGV[8])
  local index = prefix .. 'access_tokens'
  local found = {}
  for _, id in ipairs(call('ZREVRANGE', index, from, from + limit - 1)) do
    local fields = call('HMGET', key('access_token', id), 'name', 'role', 'project',
      'created_at', 'created_by', 'expires_at', 'used_at', 'used_from')
    for i = 1, 8 do fields[i] = fields[i] or '' end
    table.insert(found, {id, unpack(fields)})
  end
  local next_one = from + limit < call('ZCARD', index) and from + limit or ''
  return {next_one, found, now}
end)
