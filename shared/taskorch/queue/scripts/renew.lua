-- renew: the holder gets another full lease. A blocked item has no lease to renew.
-- KEYS     meta
-- ARGV     7 item, 8 token, 9 '1' to leave its new comments, and what was edited, to the
--          holder's next step
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
return once(function()
  local id, token, leaves_news = ARGV[7], ARGV[8], ARGV[9] ~= ''
  local item = check_holder(need_item(id), token, 'renew')

  claim_if_queued(item)
  if leaves_news then item.comments_read, item.edited = item.commented, '' end
  if item.state ~= 'blocked' then set_in_progress(item) end
  emit('renew', item)
  return receipt(item)
end, with_comments)
