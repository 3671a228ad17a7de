-- claim: takes the first items of the caller's queue, each under a lease. Reaps some
--        leases and promotes some items first.
-- KEYS     meta
-- ARGV     7 lease ms or '' for the items' own, 8 '1' if the caller stops waiting, 9
--          maximum number of items
-- RETURNS  {{{item id, token or '', expires, package, {id of a comment …}} …}, ''}, or
--          {{}, ms until the next lease or delay ends or ''} if the queue is empty
-- ERRORS   NO_ITEM (a repeat whose item does not exist any more)
local lease, is_last_look, limit = ARGV[7], ARGV[8] == '1', tonumber(ARGV[9])

-- Returns the first items of the queue, and whether there are more. An entry whose item
-- is not queued for the caller is dropped, and the queue is read again.
local function first_of(queue)
  local items, has_dropped = {}, true
  while has_dropped do
    has_dropped = false
    for _, id in ipairs(call('ZRANGE', queue, #items, limit)) do
      if #items == limit then return items, true end
      local item = find_item(id)
      if item and item.state == 'queued' and item.agent == caller.agent then
        table.insert(items, item)
      else
        call('ZREM', queue, id)
        has_dropped = true
      end
    end
  end
  return items, false
end

local function ms_until_due()
  local soonest
  for _, schedule in ipairs({'leases', 'delayed'}) do
    local score = tonumber(call('ZRANGE', prefix .. schedule, 0, 0, 'WITHSCORES')[2])
    if score and (not soonest or score < soonest) then soonest = score end
  end
  return soonest and string.format('%d', math.max(0, soonest - now)) or ''
end

-- The caller may have taken the wake token of an item that is still delayed: another
-- waiter must look at it.
local function pass_wake_token_on()
  local delayed = tonumber(call('HGET', key('agent', caller.agent), 'n_delayed') or 0) or 0
  if is_last_look and delayed > 0 then wake(caller.agent) end
end

return once(function()
  seen()
  maintain(MAX_DUE)
  local items, has_more = first_of(key('queue', caller.agent))
  if #items == 0 then
    pass_wake_token_on()
    return nil
  end

  begin_batch(items)
  local receipts = {}
  for i, item in ipairs(items) do
    new_claim(item, lease)
    set_in_progress(item)
    emit('claim', item)
    receipts[i] = receipt(item)
  end
  if has_more then wake(caller.agent) end
  return receipts
end, function(receipts)
  if not receipts then return {{}, ms_until_due()} end
  local claims = {}
  for i, claimed in ipairs(receipts) do
    local id, token, expires = claimed[1], claimed[2], claimed[3]
    claims[i] = {id, token_if_live(id, token), expires, package_view(id), claimed[8]}
  end
  return {claims, ''}
end)
