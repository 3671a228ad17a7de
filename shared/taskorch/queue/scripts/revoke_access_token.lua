-- revoke_access_token: removes an access token. Its agent leaves the pools that no other
--                      token of it names.
-- KEYS     meta
-- ARGV     7 id
-- RETURNS  {id}
-- ERRORS   NO_ACCESS_TOKEN
local id = ARGV[7]
return once(function()
  local token = key('access_token', id)
  local name, pools = unpack(call('HMGET', token, 'name', 'pools'))
  if call('DEL', token) == 0 then refuse('NO_ACCESS_TOKEN', {access_token = id}) end
  call('DEL', token .. ':agents', key('open_items', id))
  call('ZREM', prefix .. 'access_tokens', id)
  if (pools or '') ~= '' then survives(leave_unnamed_pools, name, id, pools, '') end
  Access.signal('access_token', id)
  return {id}
end)
