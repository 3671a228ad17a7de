-- forget_agents: forgets agents that have no items, in any state, and no budget, and have not
--                called for some time, nor were first named in that time; a part of them.
--                Then it forgets pools without items and agents.
-- KEYS     meta
-- ARGV     7 minimum age in ms of the last call, 8 number of agents to skip, which stay, 9
--          maximum number of agents to look at
-- RETURNS  {number to skip next time, or '' at the end, number of agents forgotten}
-- ERRORS   none of its own
local age, skip, limit = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

-- The pools that a call looks at, the oldest first.
local MAX_POOLS = 100

local function has_items(name, fields)
  for i = 1, #fields, 2 do
    local is_count = string.sub(fields[i], 1, 2) == 'n_'
    if is_count and fields[i + 1] ~= '0' then return true end
  end
  return call('EXISTS', key('queue', name), key('held', name)) > 0
end

-- An agent with a budget could otherwise use all of it again.
local function has_budget(name)
  if not Budget.owners then return false end
  local owner = 'agent:' .. name
  local kept = call('HMGET', prefix .. 'budgets', owner .. ':day', owner .. ':total')
  return (kept[1] or kept[2]) and true or false
end

-- Returns whether an agent that never called was first named long ago. An older version
-- kept no time of that: it is now.
local function was_named_long_ago(name, fields)
  local named_at = value_of(fields, 'named_at')
  if not named_at or not is_number(named_at) then
    call('HSET', key('agent', name), 'named_at', now)
    return false
  end
  return tonumber(named_at) <= now - age
end

local function forget_pools()
  local pools = call('ZRANGE', prefix .. 'pools', '-inf', now - age, 'BYSCORE', 'LIMIT', 0,
    MAX_POOLS)
  for _, pool in ipairs(pools) do
    local owner = Owner.of_pool(pool)
    local has_agents = call('EXISTS', key('members', pool)) == 1
    if not has_agents and not has_items(owner, call('HGETALL', Owner.counts(owner))) then
      call('DEL', Owner.counts(owner), key('wake', owner))
      call('ZREM', prefix .. 'pools', pool)
    end
  end
end

return once(function()
  local old = call('ZRANGE', prefix .. 'agents', '-inf', now - age, 'BYSCORE', 'LIMIT', skip,
    limit, 'WITHSCORES')
  local forgotten = 0
  for i = 1, #old, 2 do
    local name, fields = old[i], call('HGETALL', key('agent', old[i]))
    local is_idle = not has_items(name, fields) and not has_budget(name)
    if is_idle and (tonumber(old[i + 1]) > 0 or was_named_long_ago(name, fields)) then
      for pool in string.gmatch(value_of(fields, 'pools') or '', '[^,]+') do
        call('ZREM', key('members', pool), name)
      end
      call('DEL', key('agent', name), key('wake', name), Usage.of('agent:' .. name))
      call('ZREM', prefix .. 'agents', name)
      call('ZREM', prefix .. 'budget_waiters', name)
      forgotten = forgotten + 1
    end
  end
  forget_pools()
  local is_full = #old == 2 * limit
  return {is_full and tostring(skip + limit - forgotten) or '', forgotten}
end)
