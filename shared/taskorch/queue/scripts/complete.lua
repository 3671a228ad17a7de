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
-- Bytes of the end of an output that is kept with an item.
local TAIL_BYTES = 2000
-- The processes that may say of themselves that they have run a check.
local SOURCES = {worker = true, run = true, mirror = true}
local next_limit, lease, leaves_blocked = tonumber(ARGV[7]), ARGV[8], ARGV[9] ~= ''
local origin = FIRST + WORDS * ARGV[10]
local has_origin = origin <= #ARGV
-- Reports among which the completion by a repeated request is looked for.
local REPORTS_LOOKED_AT = 200
local new_claims

-- A report with an origin was delivered at the time that it states.
local function completed_at()
  for i = origin, #ARGV, 2 do
    if ARGV[i] == 'made_at' and ARGV[i + 1] ~= '' then return ARGV[i + 1] end
  end
  return now
end

-- Returns a JSON object or list; an empty one if it is missing or damaged.
local function parse_json(json)
  local ok, values = pcall(cjson.decode, json or '{}')
  return ok and type(values) == 'table' and values or {}
end

-- An item is delivered once: a summary or a deliverable that it does not have would be
-- lost.
local function check_repeat(item, summary, deliverables)
  local kept = call('HMGET', key('item', item.id), 'summary', 'deliverables')
  local kept_summary, delivered = kept[1] or '', parse_json(kept[2])
  local is_known = summary == '' or summary == kept_summary
  for name, value in pairs(parse_json(deliverables)) do
    if delivered[name] ~= value then is_known = false end
  end
  if not is_known then
    refuse('ALREADY_COMPLETED', {item = item.id, state = item.state, verb = 'complete',
      summary = kept_summary, reopens = Project.reopens(item.id)})
  end
end

local function is_same(one, other)
  if type(one) ~= 'table' or type(other) ~= 'table' then return one == other end
  for name, value in pairs(one) do
    if not is_same(value, other[name]) then return false end
  end
  for name in pairs(other) do
    if one[name] == nil then return false end
  end
  return true
end

-- Returns the result of a check as it is kept. What comes through a gateway is only
-- reported by its client.
local function kept_result(check, given)
  local source = SOURCES[given.source] and given.source or 'worker'
  if caller.access_token ~= '' then source = 'client' end
  local output = type(given.output) == 'string' and given.output or ''
  return {check = check, passed = true, source = source, output = string.sub(output, -TAIL_BYTES),
    exit_code = tonumber(given.exit_code), duration_ms = tonumber(given.duration_ms) or 0}
end

local function shown_check(check)
  if type(check.run) == 'table' then return table.concat(check.run, ' ') end
  return 'file ' .. tostring(check.file)
end

-- Returns the evidence that is kept as JSON, or nil for an item without checks. The
-- results are those of its checks in their order, without the deliverables, which are
-- checked here.
local function check_acceptance(item, deliverables, evidence)
  local stored = call('HGET', key('item', item.id), 'checks')
  if not stored then return nil end
  local delivered, results = parse_json(deliverables), parse_json(evidence ~= '' and evidence or '[]')
  local kept, failed, place, is_shown = {}, {}, 0, true
  for i, check in ipairs(parse_json(stored)) do
    local name = type(check) == 'table' and check.deliverable
    if name then
      kept[i] = {check = check, passed = true, source = 'queue', output = '', duration_ms = 0}
      if (delivered[name] or '') == '' then
        table.insert(failed, {check = 'deliverable ' .. name, problem = 'it was not delivered'})
      end
    else
      place = place + 1
      local given = results[place]
      if type(given) ~= 'table' or not is_same(given.check, check) then
        is_shown = false
      elseif given.passed ~= true then
        table.insert(failed, {check = shown_check(check), problem = 'it did not pass'})
      else
        kept[i] = kept_result(check, given)
      end
    end
  end
  if #failed > 0 then refuse('CHECKS_FAILED', {item = item.id, failed = failed}) end
  if item.only_reports then refuse('RUN_COMPLETES', {item = item.id, checks = stored}) end
  if not is_shown then refuse('UNCHECKED', {item = item.id, checks = stored}) end
  return cjson.encode(kept)
end

local function check(item, token, summary, deliverables, evidence)
  local shows_it = token == '' or token == Lease.shown_token(item)
  local is_over = item.state == 'completed' or item.state == 'review'
  item.is_delivered = is_over and item.agent == caller.agent and shows_it
  if item.is_delivered then
    check_repeat(item, summary, deliverables)
  else
    Lease.check_holder(item, token, 'complete', true)
    if leaves_blocked and item.state == 'blocked' then refuse_state(item, 'complete') end
    item.evidence = check_acceptance(item, deliverables, evidence)
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

-- Returns the fields of a delivered item, and `...`.
local function fields_of_delivery(item, summary, deliverables, usage, ...)
  local fields = {'percent', 100, ...}
  for _, word in ipairs(Usage.count(item, usage)) do table.insert(fields, word) end
  if item.evidence then fields = {'evidence', item.evidence, unpack(fields)} end
  if summary ~= '' then fields = {'summary', summary, unpack(fields)} end
  if deliverables ~= '{}' then fields = {'deliverables', deliverables, unpack(fields)} end
  return unpack(fields)
end

-- The item waits for its reviewer, without a holder. Its report says so, for a repeat.
local function submit(item, reviewer, summary, deliverables, usage)
  report(item, 'complete', 'text', summary, 'percent', 100, 'reviewer', reviewer,
    unpack(Usage.words(usage, {unpack(ARGV, origin)})))
  move(item, 'review', now)
  emit('review', item, fields_of_delivery(item, summary, deliverables, usage))
end

local function deliver(item, summary, deliverables, usage)
  report_completion(item, summary, usage)
  move(item, 'completed')
  emit('complete', item, fields_of_delivery(item, summary, deliverables, usage, 'completed_at',
    completed_at(), 'completion', request))
  if release_dependents(item.id) then note_unfinished('release:' .. item.id) end
end

local function complete(item, summary, deliverables, usage)
  local reviewer = call('HGET', key('item', item.id), 'reviewer')
  Lease.claim_if_queued(item)
  Lease.revoke_token(item)
  Question.close_all(item)
  if (reviewer or '') ~= '' then
    submit(item, reviewer, summary, deliverables, usage)
  else
    deliver(item, summary, deliverables, usage)
  end
  return Lease.receipt(item)
end

-- Returns the expected deliverables that are not the name or the value of a delivered
-- one.
local function missing(id)
  local fields =
    call('HMGET', key('item', id), 'deliverables_expected', 'deliverables')
  local names, known = {}, {}
  if not fields[1] then return names end
  for name, value in pairs(parse_json(fields[2])) do
    known[name], known[value] = true, true
  end
  for _, name in ipairs(parse_json(fields[1])) do
    if type(name) == 'string' and not known[name] then table.insert(names, name) end
  end
  return names
end

-- A repeat makes a receipt again from the item's report, if it has no news of comments,
-- edits or questions for the holder.
local function is_made_again(settled)
  local _, _, _, _, remark, _, _, edited, comments, _, questions = unpack(settled)
  return remark ~= 'repeat' and edited == '' and #comments == 0 and questions[2] == ''
end

-- Returns the receipt of an item that this request has completed before, or nil. Whatever
-- became of the item since then, the report has the request.
local function receipt_of_first_copy(item, token)
  local reports = call('XREVRANGE', key('progress', item.id), '+', '-', 'COUNT',
    REPORTS_LOOKED_AT)
  if #reports == 0 then reports = {Reports.completion(item.id)} end
  for _, entry in ipairs(reports) do
    local fields = entry[2]
    if value_of(fields, 'kind') == 'complete' and value_of(fields, 'request') == request then
      local was_claimed = token == ''
      local state = value_of(fields, 'reviewer') and 'review' or 'completed'
      return {item.id, was_claimed and value_of(fields, 'token') .. ':' .. request or token,
        '', state, was_claimed and 'claimed' or '', '', '', '', {}, 0, {'', '', ''}}
    end
  end
end

-- Returns the receipts of a call whose request has completed its items before, or nil.
local function receipts_of_first_copy(items)
  local receipts = {}
  for i, item in ipairs(items) do
    receipts[i] = receipt_of_first_copy(item, ARGV[FIRST + WORDS * (i - 1) + 1])
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
    is_on_items = is_on_items and is_made_again(receipts[i])
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
    table.insert(View.with_comments(settled), missing(settled[1]))
  end
  return {receipts, (claims_view(claimed, claimed == new_claims)), is_left or ''}
end, nil, nil, receipts_of_repeat)
