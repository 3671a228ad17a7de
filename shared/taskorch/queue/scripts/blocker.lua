-- blocker: the holder cannot go on without an answer. It keeps its token, and the lease
--          stops.
-- KEYS     meta
-- ARGV     7 item, 8 token or '', 9 text, 10 needs, then field, value … of its origin
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
return once(function()
  local id, token, text, needs = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local item = check_holder(need_item(id), token, 'blocker', true)

  claim_if_queued(item)
  count_late_return(item)
  if item.state ~= 'blocked' then move(item, 'blocked', now) end
  report(item, 'blocker', 'text', text, 'needs', needs, unpack(ARGV, 11))
  emit('blocker', item, 'blocker', text, 'needs', needs)
  return receipt(item)
end, with_comments)
