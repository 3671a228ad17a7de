-- edit_access_token: changes the role, the pools, the expiry or the quotas of an access token.
--                    What its client has open is checked again.
-- KEYS     meta
-- ARGV     7 id, then the name of a field and its new value, for each changed field: role;
--          pools, such as 'backend,python'; lifetime, ms from now until it expires or ''
--          for never; max_open_items, max_bytes or max_agents, '' for any number
-- RETURNS  {id}
-- ERRORS   NO_ACCESS_TOKEN, NOT_ALLOWED (an administrator who is confined to a project, or
--          pools of another role than worker)
local id = ARGV[7]

return once(function()
  local token = key('access_token', id)
  local fields, role, pools = {}, nil, nil
  for at = 8, #ARGV, 2 do
    local name, value = ARGV[at], ARGV[at + 1]
    if name == 'role' then role = value end
    if name == 'pools' then pools = value end
    if name == 'lifetime' then
      name, value = 'expires_at', value == '' and '' or now + value
    end
    table.insert(fields, name)
    table.insert(fields, value)
  end
  local project, stored_role, stored_pools, name =
    unpack(call('HMGET', token, 'project', 'role', 'pools', 'name'))
  if not project then refuse('NO_ACCESS_TOKEN', {access_token = id}) end
  if role == 'admin' and project ~= '' then
    refuse('NOT_ALLOWED', {reason = id .. ' is for one project, and an administrator for all.'})
  end
  role, pools = role or stored_role, pools or stored_pools or ''
  if pools ~= '' and role ~= 'worker' then
    refuse('NOT_ALLOWED', {reason = 'only a worker takes items from pools: ' .. id
      .. ' has the role ' .. role .. ' and the pools ' .. pools .. '.'})
  end
  call('HSET', token, unpack(fields))
  if stored_pools and stored_pools ~= pools then
    survives(leave_unnamed_pools, name, id, stored_pools, pools)
  end
  Access.signal('access_token', id)
  return {id}
end)
