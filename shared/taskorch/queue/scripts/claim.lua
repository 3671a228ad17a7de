-- claim: the first items of the caller's queue, each under a lease. Reaps and promotes a few due items on the way.
-- KEYS     meta
-- ARGV     7 lease ms or '' for the items' own, 8 '1' when the caller will not wait if there is none, 9 how many at most
-- RETURNS  {{{item id, token or '', expires, package} …}, ms until something is due or ''}: no time where there is an item
-- ERRORS   NO_ITEM (a repeat whose item is gone)
local lease, gives_up, most = ARGV[7], ARGV[8] == '1', tonumber(ARGV[9])

-- The first items of the queue, and whether there are more. An entry that its item does not confirm goes.
local function first_of(queue)
  local items, dropped = {}, true
  while dropped do
    dropped = false
    for _, id in ipairs(call('ZRANGE', queue, #items, most)) do
      if #items == most then return items, true end
      local item = find(id)
      if item and item.state == 'queued' and item.agent == me.agent then
        table.insert(items, item)
      else
        call('ZREM', queue, id)
        dropped = true
      end
    end
  end
  return items, false
end

local function until_due()
  local soonest
  for _, schedule in ipairs({'leases', 'delayed'}) do
    local score = call('ZRANGE', prefix .. schedule, 0, 0, 'WITHSCORES')[2]
    if score and (not soonest or tonumber(score) < soonest) then soonest = tonumber(score) end
  end
  return soonest and string.format('%d', math.max(0, soonest - now)) or ''
end

return once(function()
  touch()
  maintain(BATCH)
  local items, more = first_of(key('queue', me.agent))
  if #items == 0 then
    -- The caller may have taken the wake token of a delay that is not over: another waiter must know of it.
    local delayed = tonumber(call('HGET', key('agent', me.agent), 'n_delayed') or 0) or 0
    if gives_up and delayed > 0 then wake(me.agent) end
    return nil
  end

  gather(items)
  local receipts = {}
  for i, item in ipairs(items) do
    start(item, lease)
    run(item)
    emit('claim', item)
    receipts[i] = receipt(item)
  end
  if more then wake(me.agent) end -- the next waiter's turn
  return receipts
end, function(receipts)
  if not receipts then return {{}, until_due()} end
  local claims = {}
  for i, each in ipairs(receipts) do claims[i] = {each[1], alive(each[1], each[2]), each[3], package(each[1])} end
  return {claims, ''}
end)
