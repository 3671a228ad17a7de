-- cancel: gives an item up; its holder is refused at its next step.
-- KEYS     meta
-- ARGV     7 item, 8 reason
-- RETURNS  {item id, state, agent, number of items that wait for it, numbers of the
--          questions that it closed}
-- ERRORS   NO_ITEM WRONG_STATE
local NO_LONGER_WAITS = {completed = true, cancelled = true}

-- Above MAX_LOOKED_AT dependents, all are counted: a call must not take long.
local MAX_LOOKED_AT = 200

local function count_waiting(id)
  local dependents = key('dependents', id)
  local number = call('SCARD', dependents)
  if number > MAX_LOOKED_AT then return number end
  for _, dependent in ipairs(call('SMEMBERS', dependents)) do
    if NO_LONGER_WAITS[state_of(dependent)] then number = number - 1 end
  end
  return number
end

return once(function()
  local id, reason = ARGV[7], ARGV[8]
  local item = need_item(id)
  local waiting = count_waiting(id)
  if item.state == 'completed' then refuse_state(item, 'cancel') end
  if item.state == 'cancelled' then return {id, item.state, item.agent, waiting, ''} end

  Lease.revoke_token(item)
  Question.close_all(item)
  report(item, 'cancel', 'text', reason)
  local had_failed = item.state == 'failed'
  move(item, 'cancelled')
  emit('cancel', item, unpack(had_failed and {'had_failed', '1'} or {}))
  return {id, item.state, item.agent, waiting, table.concat(item.closed, ' ')}
end)
