-- cancel: nobody works on the item any more; its holder is told at its next step.
-- KEYS     meta
-- ARGV     7 item, 8 reason
-- RETURNS  {item id, state, agent, number of items that wait for it}
-- ERRORS   NO_ITEM WRONG_STATE
local ENDED = {completed = true, cancelled = true}

-- Of very many dependents all are counted: looking at each of them takes too long.
local function number_waiting(id)
  local dependents = key('dependents', id)
  local number = call('SCARD', dependents)
  if number > AT_ONCE then return number end
  for _, dependent in ipairs(call('SMEMBERS', dependents)) do
    if ENDED[state_of(dependent)] then number = number - 1 end
  end
  return number
end

return once(function()
  local id, reason = ARGV[7], ARGV[8]
  local item = load(id)
  local waiting = number_waiting(id)
  if item.state == 'completed' then wrong_state(item, 'cancel') end
  if item.state == 'cancelled' then return {id, item.state, item.agent, waiting} end

  settle(item)
  report(item, 'cancel', 'text', reason)
  move(item, 'cancelled')
  emit('cancel', item)
  return {id, item.state, item.agent, waiting}
end)
