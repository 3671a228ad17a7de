-- progress: the holder reports on its item. A blocked item is in progress again.
-- KEYS     meta
-- ARGV     7 item, 8 token or '', 9 text, 10 percent or '', then field, value … of its
--          origin
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
return once(function()
  local id, token, text, percent = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local item = Lease.check_holder(need_item(id), token, 'progress', true)

  Lease.claim_if_queued(item)
  Lease.set_in_progress(item)
  report(item, 'progress', 'text', text, 'percent', percent, unpack(ARGV, 11))
  if percent ~= '' then
    emit('progress', item, 'percent', percent)
  else
    emit('progress', item)
    percent = call('HGET', key('item', id), 'percent')
  end
  return Lease.receipt(item, nil, nil, percent)
end, View.with_comments)
