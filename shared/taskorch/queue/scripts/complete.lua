-- complete: delivers one item or several, all or none. Items without another open
--           dependency are queued.
-- KEYS     meta
-- ARGV     7 number of items, then for each its id, token or '', summary and
--          deliverables as JSON, then field, value … of its origin
-- RETURNS  {receipt …}, with the remark 'repeat' for an item that was completed before
-- ERRORS   NO_ITEM TOO_MANY NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
local FIRST, WORDS = 8, 4
local origin = FIRST + WORDS * ARGV[7]

-- The dependents are kept in another set, so that `requeue` finds them.
local function release_dependents(item)
  local dependents = call('SMEMBERS', key('dependents', item.id))
  if #dependents > 0 then call('DEL', key('dependents', item.id)) end
  call_in_chunks('SADD', key('satisfied', item.id), dependents)
  for _, id in ipairs(dependents) do
    call('SREM', key('deps', id), item.id)
    local dependent = find_item(id)
    local is_waiting = dependent and dependent.state == 'waiting'
    if is_waiting and call('SCARD', key('deps', id)) == 0 then
      remove_from_index(dependent)
      enqueue_or_wait(dependent)
      emit('ready', dependent)
    end
  end
end

-- A report with an origin was delivered at the time that it states.
local function completed_at()
  for i = origin, #ARGV, 2 do
    if ARGV[i] == 'made_at' and ARGV[i + 1] ~= '' then return ARGV[i + 1] end
  end
  return now
end

local function check(item, token)
  local shows_it = token == '' or token == shown_token(item)
  item.is_delivered = item.state == 'completed' and item.agent == caller.agent and shows_it
  if not item.is_delivered then check_holder(item, token, 'complete', true) end
end

local function complete(item, summary, deliverables)
  claim_if_queued(item)
  revoke_token(item)
  report(item, 'complete', 'text', summary, 'percent', 100, unpack(ARGV, origin))
  move(item, 'completed')
  emit('complete', item, 'percent', 100, 'summary', summary, 'deliverables', deliverables,
    'completed_at', completed_at())
  release_dependents(item)
  return receipt(item)
end

return once(function()
  local items = need_items(FIRST, WORDS, origin - 1)
  for i, item in ipairs(items) do
    local at = FIRST + WORDS * (i - 1)
    check(item, ARGV[at + 1])
  end

  begin_batch(items)
  local receipts = {}
  for i, item in ipairs(items) do
    local at = FIRST + WORDS * (i - 1)
    if item.is_delivered then
      receipts[i] = receipt(item, 'repeat')
    else
      receipts[i] = complete(item, ARGV[at + 2], ARGV[at + 3])
    end
  end
  return receipts
end, function(receipts)
  for _, done in ipairs(receipts) do with_comments(done) end
  return receipts
end)
