-- fail: the holder gives the attempt up. The item is retried if attempts are left, else
--       it is a dead letter.
-- KEYS     meta
-- ARGV     7 item, 8 token, 9 reason, 10 '1' to retry
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
return once(function()
  local id, token, reason, retry = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local item = check_holder(need_item(id), token, 'fail')

  claim_if_queued(item)
  revoke_token(item)
  report(item, 'fail', 'text', reason)
  retry_or_fail(item, retry == '1')
  emit('fail', item)
  return receipt(item)
end, with_comments)
