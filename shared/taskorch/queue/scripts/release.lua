-- release: the holder gives the item back unharmed, to its old place in the queue, and no attempt is spent.
-- KEYS     meta
-- ARGV     7 item, 8 token, 9 reason, 10 '1' to leave an open question: the item is given back once it is answered
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
return once(function()
  local id, token, reason, asks = ARGV[7], ARGV[8], ARGV[9], ARGV[10] ~= ''
  local item = hold(load(id), token, 'release')

  begin(item)
  report(item, 'release', 'text', reason)
  if asks and item.state == 'blocked' then
    call('HDEL', key('item', id), 'live_token')
    drop(key('held', item.agent), id)
  else
    settle(item)
    give_back(item)
  end
  emit('release', item)
  return receipt(item)
end)
