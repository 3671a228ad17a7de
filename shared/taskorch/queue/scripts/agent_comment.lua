-- agent_comment: the holder comments on its item, and asks nothing. A blocked item stays
--                blocked. It is not a report, so it does not claim a queued item.
-- KEYS     meta
-- ARGV     7 item, 8 token, 9 text
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
return once(function()
  local id, token, text = ARGV[7], ARGV[8], ARGV[9]
  local item = Lease.check_holder(need_item(id), token, 'agent_comment')

  seen()
  if item.state ~= 'blocked' then Lease.set_in_progress(item) end
  report(item, 'agent_comment', 'text', text)
  emit('agent_comment', item)
  return Lease.receipt(item)
end, View.with_comments)
