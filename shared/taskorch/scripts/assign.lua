-- assign: give an item to an agent: onto its queue, or waiting while a dependency is open.
-- KEYS     meta
-- ARGV     7 item, 8 agent, 9 context as JSON or '', 10 resources as JSON or '', 11 '1' to take it from its holder
-- RETURNS  {item id, project, agent, state, previous agent or ''}
-- ERRORS   NO_ITEM WRONG_STATE HELD TOO_MANY
local MOST, MOST_BYTES = 200, 262144

local function with_context(id, added)
  local all, n, bytes = cjson.decode(call('HGET', key('item', id), 'context') or '{}'), 0, 0
  for name, value in pairs(added ~= '' and cjson.decode(added) or {}) do all[name] = value end
  for name, value in pairs(all) do n, bytes = n + 1, bytes + #name + #value end
  if n > MOST then fail('TOO_MANY', {item = id, what = 'context values', most = MOST}) end
  if bytes > MOST_BYTES then fail('TOO_MANY', {item = id, what = 'bytes of context', most = MOST_BYTES}) end
  return cjson.encode(all)
end

local function with_resources(id, added)
  local all, known = cjson.decode(call('HGET', key('item', id), 'resources') or '[]'), {}
  for _, resource in ipairs(all) do known[resource] = true end
  for _, resource in ipairs(added ~= '' and cjson.decode(added) or {}) do
    if not known[resource] then table.insert(all, resource) end
    known[resource] = true
  end
  if #all > MOST then fail('TOO_MANY', {item = id, what = 'resources', most = MOST}) end
  return cjson.encode(all)
end

return once(function()
  local id, agent, context, resources, force = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
  local item = load(id)
  local previous, held = item.agent, item.state == 'in_progress' or item.state == 'blocked'
  if item.state == 'completed' or item.state == 'failed' or item.state == 'cancelled' then wrong_state(item, 'assign') end
  local same = previous == agent and force == ''
  if held and not same and force == '' then held_by_another(item) end

  local all_context, all_resources = with_context(id, context), with_resources(id, resources)

  if context ~= '' then set(item, 'context', all_context) end
  if resources ~= '' then set(item, 'resources', all_resources) end
  if not same then
    leave(item)
    if held then refund(item) end
    settle(item)
    item.agent, item.seq = agent, next_sequence()
    set(item, 'agent', agent, 'seq', item.seq, 'assigned_at', now, 'assigned_by', me.agent)
    call('ZADD', prefix .. 'agents', 'NX', 0, agent)
    place(item)
  end
  emit('assign', item)
  return {id, item.project, agent, item.state, previous}
end)
