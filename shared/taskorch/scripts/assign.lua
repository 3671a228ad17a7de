-- assign: give an item to an agent: onto its queue, or waiting while a dependency is open.
-- KEYS     meta
-- ARGV     6 item, 7 agent, 8 context as JSON or '', 9 resources as JSON or '', 10 '1' to take it from its holder
-- RETURNS  {item id, project, agent, state, previous agent or ''}
-- ERRORS   NO_ITEM WRONG_STATE HELD
return once(function()
  local id, agent, context, resources, force = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local item = load(id)
  local previous, held = item.agent, item.state == 'in_progress' or item.state == 'blocked'
  if item.state == 'completed' or item.state == 'failed' or item.state == 'cancelled' then wrong_state(item, 'assign') end
  local same = previous == agent and force == ''
  if held and not same and force == '' then held_by_another(item) end

  local hash = key('item', id)
  if context ~= '' then
    local merged = cjson.decode(call('HGET', hash, 'context') or '{}')
    for name, value in pairs(cjson.decode(context)) do merged[name] = value end
    set(item, 'context', cjson.encode(merged))
  end
  if resources ~= '' then
    local all = cjson.decode(call('HGET', hash, 'resources') or '[]')
    for _, resource in ipairs(cjson.decode(resources)) do table.insert(all, resource) end
    set(item, 'resources', cjson.encode(all))
  end
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
