-- forget_agents: forgets agents that have no items, in any state, and no budget, and have not
--                called for some time, nor were first named in that time; a part of them.
--                After the last agents, it forgets pools without items and agents; a part
--                of them.
-- KEYS     meta
-- ARGV     7 minimum age in ms of the last call, 8 number of agents to skip, which stay, or ''
--          after the last ones, 9 maximum number of agents to look at, 10 number of pools to
--          skip, which stay
-- RETURNS  {number of agents to skip next time, or '' after the last ones, number of agents
--          forgotten, number of pools to skip next time, or '' at the end}
-- ERRORS   none of its own
local age, skip, limit = tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])

-- The pools that a call looks at, the first named first.
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

-- Returns the number of pools to skip next time, or '' at the end.
local function forget_pools(from)
  local pools = call('ZRANGE', prefix .. 'pools', '-inf', now - age, 'BYSCORE', 'LIMIT', from,
    MAX_POOLS)
  local stay = 0
  for _, pool in ipairs(pools) do
    local owner = Owner.of_pool(pool)
    local has_agents = call('EXISTS', key('members', pool)) == 1
    if not has_agents and not has_items(owner, call('HGETALL', Owner.counts(owner))) then
      call('DEL', Owner.counts(owner), key('wake', owner))
      call('ZREM', prefix .. 'pools', pool)
    else
      stay = stay + 1
    end
  end
  return #pools == MAX_POOLS and string.format('%d', from + stay) or ''
end

-- Returns the number of agents to skip next time, or '' after the last ones; and the number
-- of agents forgotten.
local function forget_agents(from)
  local old = call('ZRANGE', prefix .. 'agents', '-inf', now - age, 'BYSCORE', 'LIMIT', from,
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
  local is_full = #old == 2 * limit
  return is_full and string.format('%d', from + limit - forgotten) or '', forgotten
end

return once(function()
  local forgotten, skip_pools = 0, ARGV[10]
  if skip ~= '' then skip, forgotten = forget_agents(tonumber(skip)) end
  if skip == '' then skip_pools = forget_pools(tonumber(skip_pools)) end
  return {skip, forgotten, skip_pools}
end)
