-- agents: the agents that called last, those never seen at the end, and what each
--         session holds; a page of them.
-- KEYS     meta
-- ARGV     7 number of agents to skip, 8 maximum number, 9 maximum number of pools, or 0
-- RETURNS  {number to skip next time, or '' at the end, {{name, last seen ms, silent ms,
--          fields, {{item id, state, host, pid, session, since, last step ms, silent ms}
--          …}, number of items it holds, ms since it called or was first named} …}, number
--          of pools to skip in `overview` or '', {row of a pool …} as `Rows.pools` returns
--          them}; to a caller that is confined to a project, the agents that hold items of
--          it, and of each no counts
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
    local is_shown = item and is_held(item) and not scope.is_foreign(item.project)
    if is_shown then table.insert(held, held_item(item)) end
  end
  return held
end

-- Returns the fields of an agent, without its counts if they are of other projects, too.
local function fields_of(agent)
  if confined == '' then return call('HGETALL', key('agent', agent)) end
  local fields = {}
  for _, name in ipairs({'host', 'pid', 'session', 'version'}) do
    table.insert(fields, name)
    table.insert(fields, call('HGET', key('agent', agent), name) or '')
  end
  return fields
end

return guarded(function()
  local from, limit, most_pools = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
  local agents = {}
  local names = call('ZREVRANGE', prefix .. 'agents', from, from + limit - 1, 'WITHSCORES')
  for i = 1, #names, 2 do
    local name, last_seen = names[i], names[i + 1]
    local fields, held = fields_of(name), held_items(name)
    local was_seen = tonumber(last_seen) > 0
    local since = was_seen and last_seen or value_of(fields, 'named_at')
    local idle = ms(math.max(0, now - (tonumber(since or now) or now)))
    local count = confined == '' and call('ZCARD', key('held', name)) or #held
    if confined == '' or #held > 0 then
      table.insert(agents, {name, last_seen, was_seen and idle or '0', fields, held, count, idle})
    end
  end
  local skip = #names == 2 * limit and tostring(from + limit) or ''
  if most_pools == 0 then return {skip, agents, '', {}} end
  return {skip, agents, Rows.pools(Rows.begin(), 0, most_pools)}
end)
