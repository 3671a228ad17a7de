-- cancel: nobody works on the item any more; its holder is told at its next step.
-- KEYS     meta
-- ARGV     6 item, 7 reason
-- RETURNS  {item id, state, agent}
-- ERRORS   NO_ITEM WRONG_STATE
return once(function()
  local id, reason = ARGV[6], ARGV[7]
  local item = load(id)
  if item.state == 'completed' then wrong_state(item, 'cancel') end
  if item.state == 'cancelled' then return {id, item.state, item.agent} end

  settle(item)
  report(item, 'cancel', 'text', reason)
  move(item, 'cancelled')
  emit('cancel', item)
  return {id, item.state, item.agent}
end)
