-- renew: the holder gets another full lease. A blocked item has no lease to renew.
-- KEYS     meta
-- ARGV     7 item, 8 token, 9 '1' to leave its new comments, and what was edited, to the
--          holder's next step, 10 id of the newest comment that a wait has shown to
--          it, which is no longer new, or ''
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE

-- A comment that is not new any more, or one of too many, leaves the mark as it is.
local function mark_shown(item, shown)
  for _, id in ipairs((Lease.unread_comments(item))) do
    if id == shown then call('HSET', key('item', item.id), 'comments_read', shown) end
  end
end

return once(function()
  local id, token, leaves_news, shown = ARGV[7], ARGV[8], ARGV[9] ~= '', ARGV[10]
  local item = Lease.check_holder(need_item(id), token, 'renew')

  Lease.claim_if_queued(item)
  if shown ~= '' then mark_shown(item, shown) end
  if leaves_news then item.comments_read, item.edited = item.commented, '' end
  if item.state ~= 'blocked' then Lease.set_in_progress(item) end
  emit('renew', item)
  return Lease.receipt(item)
end, View.with_comments)
