-- progress: the holder reports on its item. A blocked item is in progress again.
-- KEYS     meta
-- ARGV     7 item, 8 token or '', 9 text, 10 percent or '', 11 usage or '', then field,
--          value … of its origin
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE OVER_BUDGET
return once(function()
  local id, token, text, percent = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local usage = Usage.parse(ARGV[11])
  local item = Lease.check_holder(need_item(id), token, 'progress', true)
  Lease.refuse_over_budget(item, ARGV[12])

  Lease.claim_if_queued(item)
  Lease.set_in_progress(item)
  report(item, 'progress', 'text', text, 'percent', percent,
    unpack(Usage.words(usage, {unpack(ARGV, 12)})))
  local sums = Usage.count(item, usage)
  if percent ~= '' then
    emit('progress', item, 'percent', percent, unpack(sums))
  else
    emit('progress', item, unpack(sums))
    percent = call('HGET', key('item', id), 'percent')
  end
  return Lease.receipt(item, nil, nil, percent)
end, View.with_comments)
