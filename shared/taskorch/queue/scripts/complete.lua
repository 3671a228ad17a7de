-- complete: delivers one item or several, all or none. An item with a reviewer waits for
--           its decision; of the others, items without another open dependency are queued,
--           as many as one call may. It may claim the caller's next items, too.
-- KEYS     meta
-- ARGV     7 maximum number of items to claim, or '', 8 lease ms of these claims or ''
--          for the items' own, 9 '1' to refuse a blocked item, else '', 10 number of
--          items, then for each its id, token or '', summary, deliverables as JSON,
--          the results of its acceptance checks as JSON or '', and usage or '', then field,
--          value … of its origin
-- RETURNS  {{receipt with a list of the missing deliverables …}, {claim as those of
--          `claim` …}, '1' if items that waited are left for `resume`, else ''}; the
--          remark is 'repeat' for an item that was completed before
-- ERRORS   NO_ITEM TOO_MANY TOO_LARGE NOT_YOURS CANCELLED LEASE_LOST HELD
--          WRONG_STATE ALREADY_COMPLETED CHECKS_FAILED RUN_COMPLETES UNCHECKED
local FIRST, WORDS = 11, 6
-- Bytes of deliverables that are never refused: an agent can always deliver the name of a
-- file or a branch.
local ALWAYS_FIT = 4096
local next_limit, lease, leaves_blocked = tonumber(ARGV[7]), ARGV[8], ARGV[9] ~= ''
local origin = FIRST + WORDS * ARGV[10]
local has_origin = origin <= #ARGV
local new_claims
-- The ids of items that expect no deliverables, as far as the call has read that.
local expect_none = {}

-- A report with an origin was delivered at the time that it states.
local function completed_at()
  for i = origin, #ARGV, 2 do
    if ARGV[i] == 'made_at' and ARGV[i + 1] ~= '' then return ARGV[i + 1] end
  end
  return now
end

local function check(item, token, summary, deliverables, evidence)
  local shows_it = token == '' or token == Lease.shown_token(item)
  local is_over = item.state == 'completed' or item.state == 'review'
  if is_over and item.agent == caller.agent and shows_it then
    item.is_delivered = true
    Delivery.check_repeat(item, summary, deliverables)
  else
    Lease.check_holder(item, token, 'complete', true)
    if leaves_blocked and item.state == 'blocked' then refuse_state(item, 'complete') end
    local checks, reviewer, expected =
      unpack(call('HMGET', key('item', item.id), 'checks', 'reviewer', 'deliverables_expected'))
    if reviewer and reviewer ~= '' then item.reviewer = reviewer end
    if not expected then expect_none[item.id] = true end
    if checks then item.evidence = Delivery.evidence(item, checks, deliverables, evidence) end
    if #deliverables > ALWAYS_FIT then
      refuse_growth(item.id, {'deliverables', deliverables})
    end
  end
end

-- The report is in the fields of the item that `emit` writes (`Reports.completion`),
-- unless it has an origin, or the item has reports already, or an agent waits for one.
local function report_completion(item, summary, usage)
  if has_origin or call('EXISTS', key('progress', item.id)) == 1 then
    report(item, 'complete', 'text', summary, 'percent', 100,
      unpack(Usage.words(usage, {unpack(ARGV, origin)})))
  end
end

-- The item waits for its reviewer, without a holder. Its report says so, for a repeat.
local function submit(item, summary, deliverables, usage)
  report(item, 'complete', 'text', summary, 'percent', 100, 'reviewer', item.reviewer,
    unpack(Usage.words(usage, {unpack(ARGV, origin)})))
  move(item, 'review', now)
  emit('review', item, Delivery.fields(item, summary, deliverables, usage))
end

local function deliver(item, summary, deliverables, usage)
  report_completion(item, summary, usage)
  move(item, 'completed')
  emit('complete', item, Delivery.fields(item, summary, deliverables, usage, 'completed_at',
    completed_at(), 'completion', request))
  if release_dependents(item.id) then note_unfinished('release:' .. item.id) end
end

local function complete(item, summary, deliverables, usage)
  Lease.claim_if_queued(item)
  Lease.revoke_token(item)
  Question.close_all(item)
  if item.reviewer then
    submit(item, summary, deliverables, usage)
  else
    deliver(item, summary, deliverables, usage)
  end
  return Lease.receipt(item)
end

-- Returns the receipts of a call whose request has completed its items before, or nil.
local function receipts_of_first_copy(items)
  local receipts = {}
  for i, item in ipairs(items) do
    receipts[i] = Delivery.receipt_of_first_copy(item, ARGV[FIRST + WORDS * (i - 1) + 1])
    if not receipts[i] then return nil end
  end
  if next_limit then table.insert(receipts, claims_of_first_copy() or {}) end
  return receipts
end

local function receipts_of_repeat()
  local items = {}
  for at = FIRST, origin - 1, WORDS do
    local item = find_item(ARGV[at])
    if not item or scope.is_foreign(item.project) then return nil end
    table.insert(items, item)
  end
  return receipts_of_first_copy(items)
end

return once(function()
  local items = need_items(FIRST, WORDS, origin - 1)
  -- A report with an origin has the same request in every process.
  local before = has_origin and receipts_of_first_copy(items)
  if before then return before end
  for i, item in ipairs(items) do
    local at = FIRST + WORDS * (i - 1)
    check(item, ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
  end

  begin_batch(items)
  local receipts, is_on_items = {}, not next_limit or finds_claims_again()
  for i, item in ipairs(items) do
    local at = FIRST + WORDS * (i - 1)
    if item.is_delivered then
      receipts[i] = Lease.receipt(item, 'repeat')
    else
      receipts[i] = complete(item, ARGV[at + 2], ARGV[at + 3], Usage.parse(ARGV[at + 5]))
    end
    is_on_items = is_on_items and Delivery.is_made_again(receipts[i])
  end
  if next_limit then
    new_claims = claim_next(next_limit, lease)
    table.insert(receipts, new_claims)
  end
  if leaves_some then table.insert(receipts, '1') end
  return receipts, is_on_items and not leaves_some
end, function(receipts)
  local is_left = type(receipts[#receipts]) == 'string' and table.remove(receipts)
  local claimed = next_limit and table.remove(receipts)
  for _, settled in ipairs(receipts) do
    local id = settled[1]
    table.insert(View.with_comments(settled), expect_none[id] and {} or Delivery.missing(id))
  end
  local has_claimed = claimed and #claimed > 0
  local claims = has_claimed and claims_view(claimed, claimed == new_claims) or {}
  return {receipts, claims, is_left or ''}
end, nil, nil, receipts_of_repeat)
