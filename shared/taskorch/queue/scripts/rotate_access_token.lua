-- rotate_access_token: replaces the secret of an access token, whose old one is refused
--                      from then on.
-- KEYS     meta
-- ARGV     7 id, 8 SHA-256 of the new secret
-- RETURNS  {id}
-- ERRORS   NO_ACCESS_TOKEN
local id, secret = ARGV[7], ARGV[8]
return once(function()
  local token = key('access_token', id)
  if call('EXISTS', token) == 0 then refuse('NO_ACCESS_TOKEN', {access_token = id}) end
  call('HSET', token, 'sha256', secret)
  Access.signal('access_token', id)
  return {id}
end)
