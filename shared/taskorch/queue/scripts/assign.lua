-- assign: give items to an agent, all or none: onto its queue, or waiting while a dependency is open.
-- KEYS     meta
-- ARGV     7 agent, 8 context as JSON or '', 9 resources as JSON or '', 10 '1' to take them from their holders, then items
-- RETURNS  {{item id, project, agent, state, previous agent or ''} …}
-- ERRORS   NO_ITEM WRONG_STATE HELD TOO_MANY
local FIRST = 11
local agent, context, resources, force = ARGV[7], ARGV[8], ARGV[9], ARGV[10] ~= ''
local MOST, MOST_BYTES = 200, 262144

local function with_context(id, added)
  local all, n, bytes = cjson.decode(call('HGET', key('item', id), 'context') or '{}'), 0, 0
  for name, value in pairs(cjson.decode(added)) do all[name] = value end
  for name, value in pairs(all) do n, bytes = n + 1, bytes + #name + #value end
  if n > MOST then fail('TOO_MANY', {item = id, what = 'context values', most = MOST}) end
  if bytes > MOST_BYTES then fail('TOO_MANY', {item = id, what = 'bytes of context', most = MOST_BYTES}) end
  return cjson.encode(all)
end

local function with_resources(id, added)
  local all, known = cjson.decode(call('HGET', key('item', id), 'resources') or '[]'), {}
  for _, resource in ipairs(all) do known[resource] = true end
  for _, resource in ipairs(cjson.decode(added)) do
    if not known[resource] then table.insert(all, resource) end
    known[resource] = true
  end
  if #all > MOST then fail('TOO_MANY', {item = id, what = 'resources', most = MOST}) end
  return cjson.encode(all)
end

local function check(item)
  if item.state == 'completed' or item.state == 'failed' or item.state == 'cancelled' then wrong_state(item, 'assign') end
  item.stays = item.agent == agent and not force
  if is_held(item) and not item.stays and not force then held_by_another(item) end
  item.given_up = not item.stays and (item.state == 'in_progress' or item.state == 'blocked')
  item.changes = {}
  if context ~= '' then item.changes = {'context', with_context(item.id, context)} end
  if resources ~= '' then item.changes = {'resources', with_resources(item.id, resources), unpack(item.changes)} end
end

local function assign(item)
  local previous = item.agent
  if not item.stays then
    leave(item)
    if item.given_up then
      report_of(previous, item, 'lost', 'text', 'taken away by ' .. me.agent)
      refund(item)
    end
    settle(item)
    item.agent, item.seq = agent, next_sequence()
    item.changes = {'agent', agent, 'seq', item.seq, 'assigned_at', now, 'assigned_by', me.agent, unpack(item.changes)}
    place(item)
  end
  emit('assign', item, unpack(item.changes))
  return {item.id, item.project, agent, item.state, previous}
end

return once(function()
  local items = load_each(FIRST, 1, #ARGV)
  for _, item in ipairs(items) do check(item) end

  gather(items)
  call('ZADD', prefix .. 'agents', 'NX', 0, agent)
  local rows = {}
  for i, item in ipairs(items) do rows[i] = assign(item) end
  return rows
end)
