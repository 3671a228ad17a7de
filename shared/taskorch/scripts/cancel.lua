-- cancel: nobody works on the item any more; its holder is told at its next step.
-- KEYS     meta
-- ARGV     7 item, 8 reason
-- RETURNS  {item id, state, agent, number of items that wait for it}
-- ERRORS   NO_ITEM WRONG_STATE
return once(function()
  local id, reason = ARGV[7], ARGV[8]
  local item = load(id)
  local waiting = call('SCARD', key('dependents', id))
  if item.state == 'completed' then wrong_state(item, 'cancel') end
  if item.state == 'cancelled' then return {id, item.state, item.agent, waiting} end

  settle(item)
  report(item, 'cancel', 'text', reason)
  move(item, 'cancelled')
  emit('cancel', item)
  return {id, item.state, item.agent, waiting}
end)
