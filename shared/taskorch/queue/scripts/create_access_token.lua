-- create_access_token: lets a client of the gateway act under a name and a role. A repeat
--                      creates no other token: it gives the first one the secret that
--                      its own client knows, because the first secret may be lost.
-- KEYS     meta
-- ARGV     7 id, 8 SHA-256 of the secret, 9 name of the caller, 10 role, 11 project it is
--          confined to or '', 12 ms until it expires or '', 13 maximum number of
--          open items or '' for any, 14 of bytes a day or '', 15 of agents or '', 16 pools
--          that its client may take items from, such as 'backend,python', or ''
-- RETURNS  {id, '1' if the id exists already, else ''}; a repeat has the first id
-- ERRORS   NO_PROJECT
local id, secret, name, role, project, lifetime = unpack(ARGV, 7, 12)
return once(function()
  if project ~= '' then Project.need(project) end
  local token = key('access_token', id)
  if call('EXISTS', token) == 1 then return {id, '1'} end
  local expires_at = lifetime == '' and '' or now + lifetime
  call('HSET', token, 'sha256', secret, 'name', name, 'role', role, 'project', project,
    'created_at', now, 'created_by', caller.agent, 'expires_at', expires_at,
    'max_open_items', ARGV[13], 'max_bytes', ARGV[14], 'max_agents', ARGV[15], 'pools',
    ARGV[16])
  call('ZADD', prefix .. 'access_tokens', now, id)
  return {id, ''}
end, function(reply)
  local created, exists = unpack(reply)
  if not is_repeat or exists ~= '' then return reply end
  local token = key('access_token', created)
  if call('EXISTS', token) == 0 then return {created, '1'} end -- it was revoked
  call('HSET', token, 'sha256', secret)
  return reply
end)
