-- Leases: claimed, kept, run out, given back; and the guard of every verb of a holder.

-- The token dies, and the question with it: nobody holds the item.
local function settle(item)
  item.settled = item.live_token ~= '' or item.blocker ~= ''
  item.live_token = ''
end

local function close_question(item)
  if item.blocker ~= '' then call('HDEL', key('item', item.id), 'blocker', 'needs') end
end

-- The delay doubles with each attempt. The jitter comes from the request id and the item, so that a script stays a
-- function of its input, and items that failed together do not come back together.
local function retry_at(item)
  local chance = (tonumber(string.sub(ARGV[1], 1, 4), 16) / 65536 + item.seq * 0.6180339887) % 1
  local jitter = 0.75 + 0.5 * chance
  return now + math.floor(math.min(RETRY_CAP_MS, RETRY_FIRST_MS * 2 ^ (item.attempts - 1) * jitter))
end

-- The claim did not count, and what delayed the item before it is over.
local function refund(item) item.attempts, item.not_before = item.attempts - 1, 0 end

-- Nobody works on it any more, through no fault of its own.
local function give_back(item)
  leave(item)
  refund(item)
  place(item)
end

-- Retry later while attempts are left, else the dead letters. It waits where a dependency was requeued in the meantime.
local function retry_or_bury(item, retry)
  if retry and item.attempts < item.max_attempts then
    item.not_before = retry_at(item)
    leave(item)
    place(item)
  else
    move(item, 'failed', now)
  end
end

-- Its token stays alive: the holder may still deliver while nobody else has claimed the item.
local function expire(item)
  report_of(item.agent, item, 'expire')
  retry_or_bury(item, true)
  emit('expire', item)
end

local function overdue(item)
  if item.state ~= 'in_progress' then return false end
  local expires = call('ZSCORE', prefix .. 'leases', item.id)
  return expires and tonumber(expires) <= now
end

local function promote(item)
  leave(item)
  place(item)
  emit('promote', item)
end

-- Acts on at most `limit` entries of a schedule whose time has come; an entry that its item does not confirm goes.
local function act_on_due(schedule, state, act, limit)
  local due = call('ZRANGE', prefix .. schedule, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    local item = find(id)
    if item and item.state == state then act(item) else call('ZREM', prefix .. schedule, id) end
  end
  return #due
end

-- Every verb of a holder renews its lease: the last one was a lease's length before the lease ends.
local function heard_of(item, expires) return expires - item.claim_lease_ms end

-- An item in progress that has lost its entry among the leases would never expire: it gets a full lease. What an agent
-- is said to hold and is not there any more goes.
local function reconcile(agent, limit)
  local held = call('ZRANGE', key('held', agent), 0, limit - 1)
  local leases = #held > 0 and call('ZMSCORE', prefix .. 'leases', unpack(held))
  for i, id in ipairs(held) do
    local item = leases[i] or find(id)
    if not item then call('ZREM', key('held', agent), id)
    elseif item.state == 'in_progress' then call('ZADD', prefix .. 'leases', now + item.claim_lease_ms, id) end
  end
end

-- Returns how many leases it reaped, and how many items it promoted.
local function maintain(limit)
  reconcile(me.agent, limit)
  return act_on_due('leases', 'in_progress', expire, limit), act_on_due('delayed', 'delayed', promote, limit)
end

-- A new claim by the caller: token and attempt go up, and the caller is the holder.
local function start(item, lease_ms)
  item.started = true
  item.token = string.format('%d', item.token + 1)
  item.claim, item.live_token = ARGV[1], item.token
  item.attempts = item.attempts + 1
  item.claim_lease_ms = lease_ms ~= '' and lease_ms or item.lease_ms
  if item.state == 'queued' then close_question(item) end
end

-- Taking an item up again after its lease ran out is another attempt, under the same token.
local function resume(item)
  local held = item.state == 'in_progress' or item.state == 'blocked'
  if not held and not item.started then item.attempts = item.attempts + 1 end
end

-- In progress from now on, for the length of its lease: claimed, renewed, or taken up again after the lease ran out.
local function run(item)
  resume(item)
  item.expires = now + item.claim_lease_ms
  if item.state == 'in_progress' then put(prefix .. 'leases', item.id, item.expires)
  else move(item, 'in_progress', item.expires) end
end

-- What a holder shows: the token, and the id of its claim. A failover may lose a claim and give the same number again.
local function shown(item) return item.token .. ':' .. item.claim end

local function is_holders(item, token) return item.live_token ~= '' and token == shown(item) end

-- A token that was given for an item, if it may still act; the first reply to a request may be old.
local function alive(id, token)
  local item = find(id)
  return item and is_holders(item, token) and token or ''
end

local function held_by_another(item)
  local holder = call('HMGET', key('item', item.id), 'holder_host', 'holder_pid', 'holder_session', 'holder_since')
  fail('HELD', {item = item.id, caller = me.agent, agent = item.agent, host = holder[1] or '', pid = holder[2] or '',
    session = holder[3] or '', since = holder[4] or '',
    expires = call('ZSCORE', prefix .. 'leases', item.id) or ''})
end

-- The item as the clock leaves it: what is due for it happens first, unless the caller `keeps` it from running out.
local function current(item, keeps)
  if item.state == 'delayed' and tonumber(item.not_before) <= now then promote(item) end
  if not keeps and overdue(item) then expire(item) end
end

-- The value of a field in a hash, or in an entry of a stream, as Redis replies it.
local function value_of(flat, field)
  for i = 1, #flat, 2 do
    if flat[i] == field then return flat[i + 1] end
  end
end

-- Why an item was cancelled: the newest report of that kind, for strays may have come after it.
local function reason_of_cancel(id)
  for _, entry in ipairs(call('XREVRANGE', key('progress', id), '+', '-', 'COUNT', 100)) do
    if value_of(entry[2], 'kind') == 'cancel' then return value_of(entry[2], 'text') end
  end
  return ''
end

-- Guard of every holder's verb: the item, if the caller may act on it. A report (`claims`) may find it queued for the
-- caller: then it is `fresh`, and `begin` claims it.
local function hold(item, token, verb, claims)
  current(item, is_holders(item, token))
  if item.agent ~= me.agent then fail('NOT_YOURS', {item = item.id, agent = item.agent, caller = me.agent}) end
  if item.state == 'cancelled' then fail('CANCELLED', {item = item.id, reason = reason_of_cancel(item.id)}) end
  if is_holders(item, token) then
    if item.state == 'failed' and verb ~= 'complete' then wrong_state(item, verb) end -- a dead letter stays one
    return item
  end
  if token ~= '' then
    fail('LEASE_LOST', {item = item.id, token = string.match(token, '^[^:]*'), newest = item.token, state = item.state})
  end
  if is_held(item) then held_by_another(item) end
  if item.state ~= 'queued' or not claims then wrong_state(item, verb) end
  item.fresh = true
  return item
end

local function begin(item)
  touch()
  if item.fresh then start(item, '') end
end

local function receipt(item, remark, entry)
  local expires = item.state == 'in_progress' and string.format('%d', item.expires) or ''
  return {item.id, shown(item), expires, item.state, remark or (item.fresh and 'claimed' or ''), entry or ''}
end
