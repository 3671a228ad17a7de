-- claim: takes the first items of the caller's queue, and then of its pools, each under a
--        lease. Reaps some leases and promotes some items first.
-- KEYS     meta
-- ARGV     7 lease ms or '' for the items' own, 8 '1' if the caller stops waiting, 'again'
--          if its next call is a repeat of this one, 9 maximum number of items; 0 after a
--          wait that was broken off
-- RETURNS  {{{item id, token or '', expires, package, {id of a comment …}} …}, '', {}}, or
--          {{}, ms until the next lease or delay ends or '', {}} if the queue is empty; 0 ms
--          if the next call may find an item behind those of a project that is closing;
--          'over' for 'again' after a call that has stopped waiting. If a budget keeps the
--          caller from what is in its queue, the third is {owner, 'day' or 'total', 'cost' or
--          'tokens', used, limit, ms when the day ends or ''}
-- ERRORS   NO_ITEM (a repeat whose item does not exist any more)
local lease, is_last_look, limit = ARGV[7], ARGV[8] == '1', tonumber(ARGV[9])
local asks_again = ARGV[8] == 'again'
local new_receipts, looks_again, has_looked, over

return once(function()
  local holds_few
  has_looked = true
  new_receipts, looks_again, holds_few, over = claim_first(limit, lease, not is_last_look)
  if not new_receipts then
    if over and not is_last_look then Budget.wait() end
    if is_last_look then pass_wake_tokens_on(limit) end
    return nil, nil, asks_again
  end
  return new_receipts, holds_few or finds_claims_again()
end, function(receipts)
  local claims, due_ms = claims_view(receipts, receipts == new_receipts)
  if looks_again then due_ms = '0' end
  if asks_again and not (receipts or has_looked) then due_ms = 'over' end
  return {claims, Budget.sooner(due_ms, over), over or {}}
end, nil, nil, claims_of_first_copy)
