-- fail: the holder gives the attempt up. The item is retried if attempts are left, else
--       it is a dead letter. It may claim the caller's next items, too.
-- KEYS     meta
-- ARGV     7 item, 8 token, 9 reason, 10 '1' to retry, 11 maximum number of items to
--          claim, or '', 12 lease ms of these claims or '' for the items' own,
--          13 usage or ''
-- RETURNS  receipt; with claims {receipt, {claim as those of `claim` …}}
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
local next_limit, lease = tonumber(ARGV[11]), ARGV[12]
local new_claims

return once(function()
  local id, token, reason, retry = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local item = Lease.check_holder(need_item(id), token, 'fail')

  Lease.claim_if_queued(item)
  Lease.revoke_token(item)
  local usage = Usage.parse(ARGV[13])
  report_end(item, 'fail', 'text', reason, unpack(Usage.words(usage)))
  Lease.retry_or_fail(item, retry == '1')
  emit('fail', item, unpack(Usage.count(item, usage)))
  if not next_limit then return Lease.receipt(item) end
  new_claims = claim_next(next_limit, lease)
  return {Lease.receipt(item), new_claims}
end, function(reply)
  if not next_limit then return View.with_comments(reply) end
  local settled, claimed = unpack(reply)
  return {View.with_comments(settled), (claims_view(claimed, claimed == new_claims))}
end)
