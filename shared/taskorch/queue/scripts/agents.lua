-- agents: the agents that called last, those never seen at the end, and what each session of them holds.
-- KEYS     meta
-- ARGV     7 how many at most
-- RETURNS  {{name, last seen ms, silent ms, fields, {{item id, state, host, pid, session, since, heard ms, silent ms} …},
--          how many it holds} …}
-- ERRORS   none of its own
local HOLDINGS = 20

local function holding(item)
  local holder = call('HMGET', key('item', item.id), 'holder_host', 'holder_pid', 'holder_session', 'holder_since')
  local heard = call('ZSCORE', index(item), item.id) -- when it was blocked, or when its lease ends
  if heard and item.state == 'in_progress' then heard = heard_of(item, heard) end
  heard = heard or (is_number(holder[4] or '') and holder[4]) or now
  return {item.id, item.state, holder[1] or '', holder[2] or '', holder[3] or '', holder[4] or '',
    string.format('%d', heard), string.format('%d', math.max(0, now - heard))}
end

local function holdings(agent)
  local held = {}
  for _, id in ipairs(call('ZRANGE', key('held', agent), 0, HOLDINGS - 1)) do
    local item = find(id)
    if item and is_held(item) then table.insert(held, holding(item)) end
  end
  return held
end

return guarded(function()
  local agents = {}
  local names = call('ZREVRANGE', prefix .. 'agents', 0, ARGV[7] - 1, 'WITHSCORES')
  for i = 1, #names, 2 do
    local name, seen = names[i], names[i + 1]
    local silent = tonumber(seen) > 0 and math.max(0, now - seen) or 0
    table.insert(agents, {name, seen, string.format('%d', silent), call('HGETALL', key('agent', name)), holdings(name),
      call('ZCARD', key('held', name))})
  end
  return agents
end)
