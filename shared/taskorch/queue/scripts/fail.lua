-- fail: the holder gives the attempt up. The item is retried if attempts are left, else
--       it is a dead letter. It may claim the caller's next item, too.
-- KEYS     meta
-- ARGV     7 item, 8 token, 9 reason, 10 '1' to retry, 11 '1' to claim the next item,
--          else '', 12 lease ms of that claim or '' for the item's own
-- RETURNS  receipt; with a claim {receipt, {claim as that of `claim`, if there is one}}
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
local claims_next, lease = ARGV[11] ~= '', ARGV[12]

return once(function()
  local id, token, reason, retry = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local item = check_holder(need_item(id), token, 'fail')

  claim_if_queued(item)
  revoke_token(item)
  report_end(item, 'fail', 'text', reason)
  retry_or_fail(item, retry == '1')
  emit('fail', item)
  if not claims_next then return receipt(item) end
  return {receipt(item), claim_next(lease)}
end, function(reply)
  if not claims_next then return with_comments(reply) end
  local settled, claimed = unpack(reply)
  return {with_comments(settled), (claims_view(claimed))}
end)
