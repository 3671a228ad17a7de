-- release: the holder gives the item back unharmed, to its old place in the queue; no
--          attempt is spent.
-- KEYS     meta
-- ARGV     7 item, 8 token, 9 reason, 10 '1' to leave an open question: the item is
--          given back once it is answered
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
return once(function()
  local id, token, reason, leaves_question = ARGV[7], ARGV[8], ARGV[9], ARGV[10] ~= ''
  local item = Lease.check_holder(need_item(id), token, 'release')

  Lease.claim_if_queued(item)
  report_end(item, 'release', 'text', reason)
  if leaves_question and item.state == 'blocked' then
    call('HDEL', key('item', id), 'live_token')
    drop(key('held', item.agent), id)
  else
    Lease.revoke_token(item)
    Lease.give_back(item)
  end
  emit('release', item)
  return Lease.receipt(item)
end, View.with_comments)
