-- get: an item of the caller with all its details. It is claimed first if it is queued, for
--      the caller or in one of its pools, or if the caller takes it over.
-- KEYS     meta
-- ARGV     7 item, 8 token or '', 9 'claim', 'peek' or 'takeover', 10 lease ms or ''
-- RETURNS  {item id, token or '', expires or '', package, {id of a comment that is new
--          to the holder …}}: no token if the caller does not hold it
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD NO_ATTEMPTS OVER_BUDGET
local id, token, mode, lease = ARGV[7], ARGV[8], ARGV[9], ARGV[10]

-- The holder continues, even if its lease has expired.
local function continue_claim(item)
  local has_expired = item.state ~= 'in_progress' and item.state ~= 'blocked'
  if item.state ~= 'blocked' then Lease.set_in_progress(item) end
  if has_expired then emit('renew', item) end
end

-- A blocked item stays blocked under its new holder.
local function claim(item)
  if item.state ~= 'queued' then
    report_end(item, 'lost', 'text', 'taken over by another session')
  end
  Lease.new_claim(item, lease)
  item.only_reports = false
  if item.state == 'blocked' then
    call('ZADD', key('held', caller.agent), now, id)
  else
    Lease.set_in_progress(item)
  end
  emit('claim', item)
end

local function is_in_own_pool(item)
  for _, pool in ipairs(caller.pools) do
    if item.owner == Owner.of_pool(pool) then return true end
  end
  return false
end

-- Returns the receipt of the claim, or nil if the caller only sees the item.
local function get()
  local item = need_item(id)
  Lease.act_if_due(item, mode ~= 'claim' or Lease.is_live(item, token))
  Lease.return_to_claimer(item, token)
  if not is_in_own_pool(item) then Lease.need_own(item, token) end
  local is_mine = item.agent == caller.agent and Lease.is_live(item, token)
  if mode == 'takeover' and item.only_reports then is_mine = false end
  local held = is_held(item)
  local may_continue = is_mine and item.state ~= 'failed'
  local may_claim = held or item.state == 'queued'
  if mode == 'peek' or not (may_continue or may_claim) then return nil end
  if held and not is_mine then
    if mode ~= 'takeover' then Lease.refuse_held(item) end
    if item.attempts >= item.max_attempts then
      refuse('NO_ATTEMPTS', {item = id, attempts = item.attempts})
    end
  end

  if not is_mine then
    Lease.refuse_closing(item)
    Budget.refuse(item)
  end
  if is_mine then continue_claim(item) else claim(item) end
  return Lease.receipt(item)
end

return once(function()
  -- First, so that maintain cannot reap the lease of the holder that asks.
  local reply = get()
  seen()
  Lease.maintain(MAX_DUE)
  return reply
end, function(reply)
  if not reply then return {id, '', '', package_view(id), {}} end
  return {id, Lease.token_if_live(id, reply[2]), reply[3], package_view(id), reply[9] or {}}
end)
