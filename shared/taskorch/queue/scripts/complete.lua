-- complete: the ack of one item or of several, all or none. Items whose last open dependency this was are queued here.
-- KEYS     meta
-- ARGV     7 number of items, then for each its id, token or '', summary and deliverables as JSON, then field, value … of
--          its origin
-- RETURNS  {receipt …}, the remark 'repeat' where it was completed already
-- ERRORS   NO_ITEM TOO_MANY NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
local FIRST, WORDS = 8, 4
local origin = FIRST + WORDS * ARGV[7]

-- Its dependents are kept, so that `requeue` finds them.
local function release_dependents(item)
  local dependents = call('SMEMBERS', key('dependents', item.id))
  if #dependents > 0 then call('DEL', key('dependents', item.id)) end
  call_with('SADD', key('satisfied', item.id), dependents)
  for _, id in ipairs(dependents) do
    call('SREM', key('deps', id), item.id)
    local dependent = find(id)
    if dependent and dependent.state == 'waiting' and call('SCARD', key('deps', id)) == 0 then
      leave(dependent)
      place(dependent)
      emit('ready', dependent)
    end
  end
end

-- When it was delivered: at the time of the report's origin, where it has one.
local function delivered_at()
  for i = origin, #ARGV, 2 do
    if ARGV[i] == 'made_at' and ARGV[i + 1] ~= '' then return ARGV[i + 1] end
  end
  return now
end

local function check(item, token)
  item.delivered = item.state == 'completed' and item.agent == me.agent and (token == '' or token == shown(item))
  if not item.delivered then hold(item, token, 'complete', true) end
end

local function complete(item, summary, deliverables)
  begin(item)
  settle(item)
  report(item, 'complete', 'text', summary, 'percent', 100, unpack(ARGV, origin))
  move(item, 'completed')
  emit('complete', item, 'percent', 100, 'summary', summary, 'deliverables', deliverables,
    'completed_at', delivered_at())
  release_dependents(item)
  return receipt(item)
end

return once(function()
  local items = load_each(FIRST, WORDS, origin - 1)
  for i, item in ipairs(items) do check(item, ARGV[FIRST + WORDS * (i - 1) + 1]) end

  gather(items)
  local receipts = {}
  for i, item in ipairs(items) do
    local at = FIRST + WORDS * (i - 1)
    receipts[i] = item.delivered and receipt(item, 'repeat') or complete(item, ARGV[at + 2], ARGV[at + 3])
  end
  return receipts
end)
