-- agents: the agents that called last, those never seen at the end, and what each
--         session holds; a page of them.
-- KEYS     meta
-- ARGV     7 number of agents to skip, 8 maximum number
-- RETURNS  {number to skip next time, or '' at the end, {{name, last seen ms, silent ms,
--          fields, {{item id, state, host, pid, session, since, last step ms, silent ms}
--          …}, number of items it holds, ms since it called or was first named} …}}
-- ERRORS   none of its own
local MAX_HELD_SHOWN = 20

local function ms(number) return string.format('%d', number) end

-- When the holder made its last step: when it was blocked, or when it renewed its
-- lease.
local function last_step(item, since)
  local score = call('ZSCORE', index_of(item), item.id)
  if score and item.state == 'in_progress' then return Lease.last_step_at(item, score) end
  if score then return score end
  return is_number(since) and since or now
end

local function held_item(item)
  local host, pid, session, since = holder_of(item.id)
  local at = last_step(item, since)
  return {item.id, item.state, host, pid, session, since, ms(at), ms(math.max(0, now - at))}
end

local function held_items(agent)
  local held = {}
  for _, id in ipairs(call('ZRANGE', key('held', agent), 0, MAX_HELD_SHOWN - 1)) do
    local item = find_item(id)
    if item and is_held(item) then table.insert(held, held_item(item)) end
  end
  return held
end

return guarded(function()
  local from, limit = tonumber(ARGV[7]), tonumber(ARGV[8])
  local agents = {}
  local names = call('ZREVRANGE', prefix .. 'agents', from, from + limit - 1, 'WITHSCORES')
  for i = 1, #names, 2 do
    local name, last_seen = names[i], names[i + 1]
    local fields = call('HGETALL', key('agent', name))
    local was_seen = tonumber(last_seen) > 0
    local since = was_seen and last_seen or value_of(fields, 'named_at')
    local idle = ms(math.max(0, now - (tonumber(since or now) or now)))
    table.insert(agents, {name, last_seen, was_seen and idle or '0', fields, held_items(name),
      call('ZCARD', key('held', name)), idle})
  end
  return {#agents == limit and tostring(from + limit) or '', agents}
end)
