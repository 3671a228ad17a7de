-- use_access_token: what an access token allows. It keeps the time and the place of its
--                   use, about once a minute.
-- KEYS     meta
-- ARGV     7 id, 8 SHA-256 of the secret that the client has shown, 9 its address
-- RETURNS  {SHA-256 of the secret, name, role, project or '', ms until it expires: 0 if it
--          has, '' for never, pools such as 'backend,python' or ''}, or {} if it does not
--          exist
-- ERRORS   none of its own
local NOTED_MS = 60000
local token, shown, address = key('access_token', ARGV[7]), ARGV[8], ARGV[9]
return once(function()
  local used_at = tonumber(call('HGET', token, 'used_at') or 0)
  if now - used_at >= NOTED_MS and call('HGET', token, 'sha256') == shown then
    call('HSET', token, 'used_at', now, 'used_from', address)
  end
  return nil
end, function()
  local fields = call('HMGET', token, 'sha256', 'name', 'role', 'project', 'expires_at',
    'pools')
  if not fields[1] then return {} end
  local expires_at, left = tonumber(fields[5]), ''
  if expires_at then left = string.format('%d', math.max(0, expires_at - now)) end
  return {fields[1], fields[2], fields[3], fields[4], left, fields[6] or ''}
end)
