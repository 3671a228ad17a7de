-- release: the holder gives the item back unharmed, to its old place in the queue, and no attempt is spent.
-- KEYS     meta
-- ARGV     7 item, 8 token, 9 reason
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
return once(function()
  local id, token, reason = ARGV[7], ARGV[8], ARGV[9]
  local item = hold(load(id), token, 'release')

  begin(item)
  settle(item)
  report(item, 'release', 'text', reason)
  leave(item)
  refund(item)
  place(item)
  emit('release', item)
  return receipt(item)
end)
