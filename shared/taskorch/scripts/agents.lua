-- agents: the agents that called last, those never seen at the end, and what each session of them holds.
-- KEYS     meta
-- ARGV     7 how many at most
-- RETURNS  {{name, last seen ms, silent ms, fields, {{item id, state, host, pid, session, since, heard ms, silent ms} …}} …}
-- ERRORS   none of its own
local HOLDINGS = 20

-- Every verb of a holder renews its lease: the last one was a lease's length before the lease ends.
local function heard_of(item)
  if item.state == 'blocked' then return tonumber(call('ZSCORE', prefix .. 'blocked', item.id) or now) end
  local expires = call('ZSCORE', prefix .. 'leases', item.id)
  return expires and tonumber(expires) - tonumber(item.claim_lease_ms) or tonumber(item.holder_since)
end

local function holdings(agent)
  local held = {}
  for _, id in ipairs(call('ZRANGE', key('held', agent), 0, HOLDINGS - 1)) do
    local item = find(id)
    if item and (item.state == 'in_progress' or item.state == 'blocked') then
      local heard = heard_of(item)
      table.insert(held, {id, item.state, item.holder_host, item.holder_pid, item.holder_session, item.holder_since,
        string.format('%d', heard), string.format('%d', math.max(0, now - heard))})
    end
  end
  return held
end

return guarded(function()
  local agents = {}
  local names = call('ZREVRANGE', prefix .. 'agents', 0, ARGV[7] - 1, 'WITHSCORES')
  for i = 1, #names, 2 do
    local name, seen = names[i], names[i + 1]
    local silent = tonumber(seen) > 0 and math.max(0, now - seen) or 0
    table.insert(agents, {name, seen, string.format('%d', silent), call('HGETALL', key('agent', name)), holdings(name)})
  end
  return agents
end)
