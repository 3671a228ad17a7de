-- Memberships: the pools that an agent is in because its access tokens name them.

local leave_unnamed_pools

do
  -- Access tokens of all agents among which others of an agent are looked for, the newest ones.
  local MAX_TOKENS = 200

  local function add_names(names, pools)
    for pool in string.gmatch(pools, '[^,]+') do names[pool] = true end
  end

  -- Adds the pools that other valid tokens of the agent name.
  local function add_pools_of_others(names, agent, token)
    for _, id in ipairs(call('ZREVRANGE', prefix .. 'access_tokens', 0, MAX_TOKENS - 1)) do
      local name, pools, expires_at =
        unpack(call('HMGET', key('access_token', id), 'name', 'pools', 'expires_at'))
      local is_valid = (tonumber(expires_at or '') or math.huge) > now
      if id ~= token and name == agent and is_valid then add_names(names, pools or '') end
    end
  end

  -- Removes the agent from the pools that its token named before, and that none of its tokens
  -- names now. What another of its sessions names, it joins again.
  function leave_unnamed_pools(agent, token, before, after)
    local joined = call('HGET', key('agent', agent), 'pools')
    if not joined then return end
    local named_before, named, kept, has_left = {}, {}, {}, false
    add_names(named_before, before)
    add_names(named, after)
    add_pools_of_others(named, agent, token)
    for pool in string.gmatch(joined, '[^,]+') do
      if named_before[pool] and not named[pool] then
        has_left = true
        call('ZREM', key('members', pool), agent)
      else
        table.insert(kept, pool)
      end
    end
    if not has_left then return end
    call('HSET', key('agent', agent), 'pools', table.concat(kept, ','))
    Access.signal('view', 'agent:' .. agent)
  end
end
