-- complete: the ack. Items whose last open dependency this was are queued here.
-- KEYS     meta
-- ARGV     7 item, 8 token or '', 9 summary, 10 deliverables as JSON, then field, value … of its origin
-- RETURNS  receipt, its remark 'repeat' when it was completed already
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
local function release_dependents(item)
  for _, id in ipairs(call('SMEMBERS', key('dependents', item.id))) do
    call('SREM', key('deps', id), item.id)
    local dependent = find(id)
    if dependent and dependent.state == 'waiting' and call('SCARD', key('deps', id)) == 0 then
      leave(dependent)
      place(dependent)
      emit('ready', dependent)
    end
  end
  call('DEL', key('dependents', item.id))
end

-- When it was delivered: at the time of the report's origin, where it has one.
local function delivered_at()
  for i = 11, #ARGV, 2 do
    if ARGV[i] == 'made_at' and ARGV[i + 1] ~= '' then return ARGV[i + 1] end
  end
  return now
end

return once(function()
  local id, token, summary, deliverables = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local item = load(id)
  if item.state == 'completed' and item.agent == me.agent and (token == '' or token == shown(item)) then
    return receipt(item, 'repeat')
  end
  item = hold(id, token, 'complete', true)

  begin(item)
  settle(item)
  set(item, 'percent', 100, 'summary', summary, 'deliverables', deliverables, 'completed_at', delivered_at())
  report(item, 'complete', 'text', summary, 'percent', 100, unpack(ARGV, 11))
  move(item, 'completed')
  emit('complete', item)
  release_dependents(item)
  return receipt(item)
end)
