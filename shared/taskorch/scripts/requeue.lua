-- requeue: a failed, cancelled or completed item starts afresh, with all its attempts; its project is open again.
-- KEYS     meta
-- ARGV     7 item
-- RETURNS  {item id, state, agent}
-- ERRORS   NO_ITEM WRONG_STATE
return once(function()
  local id = ARGV[7]
  local item = load(id)
  if item.state == 'queued' then return {id, item.state, item.agent} end
  if item.state ~= 'failed' and item.state ~= 'cancelled' and item.state ~= 'completed' then
    wrong_state(item, 'requeue')
  end

  call('HSET', key('project', item.project), 'status', 'active')
  call('HDEL', key('project', item.project), 'completed_at')
  settle(item)
  report(item, 'requeue')
  leave(item)
  item.attempts, item.not_before, item.seq = 0, 0, next_sequence()
  call('HDEL', key('item', id), 'percent', 'summary', 'deliverables', 'started_at', 'completed_at')
  place(item)
  emit('requeue', item, 'seq', item.seq)
  return {id, item.state, item.agent}
end)
