-- revoke_access_token: removes an access token.
-- KEYS     meta
-- ARGV     7 id
-- RETURNS  {id}
-- ERRORS   NO_ACCESS_TOKEN
local id = ARGV[7]
return once(function()
  if call('DEL', key('access_token', id)) == 0 then
    refuse('NO_ACCESS_TOKEN', {token = id})
  end
  call('ZREM', prefix .. 'access_tokens', id)
  return {id}
end)
