-- claim: the first item of the caller's queue, under a lease. Reaps and promotes a few due items on the way.
-- KEYS     meta
-- ARGV     7 lease ms or '' for the item's own, 8 '1' when the caller will not wait if there is none
-- RETURNS  {item id, token, expires, package}, or {'', ms until something is due or ''} when the queue is empty
-- ERRORS   NO_ITEM (a repeat whose item is gone)
local function first_of(queue)
  while true do
    local id = call('ZRANGE', queue, 0, 0)[1]
    if not id then return nil end
    local item = find(id)
    if item and item.state == 'queued' and item.agent == me.agent then return item end
    call('ZREM', queue, id)
  end
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
  local queue = key('queue', me.agent)
  touch()
  maintain(BATCH)
  local item = first_of(queue)
  if not item then
    -- The caller may have taken the wake token of a delay that is not over: another waiter must know of it.
    local delayed = tonumber(call('HGET', key('agent', me.agent), 'n_delayed') or 0)
    if ARGV[8] == '1' and delayed > 0 then wake(me.agent) end
    return nil
  end

  start(item, ARGV[7])
  run(item)
  emit('claim', item)
  if call('ZCARD', queue) > 0 then wake(me.agent) end -- the next waiter's turn
  return receipt(item)
end, function(reply)
  if not reply then return {'', until_due()} end
  return {reply[1], reply[2], reply[3], package(reply[1])}
end)
