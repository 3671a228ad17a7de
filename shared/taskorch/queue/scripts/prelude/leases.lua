-- Leases: how they are claimed, renewed, reaped and given back, and the guard of every
--         verb of a holder.

-- Comments that a receipt shows, and reports among which they are looked for.
local COMMENTS_SHOWN, COMMENTS_LOOKED_AT = 10, 100
-- Bytes of reports among which one is looked for.
local REPORT_BYTES_LOOKED_AT = 2097152

local Lease = {}

-- The token can no longer act: the item has no holder.
function Lease.revoke_token(item)
  item.token_revoked = item.live_token ~= ''
  item.live_token = ''
end

-- The delay doubles with each attempt. Its jitter comes from the request id and the
-- item: the script stays a function of its input, and items that fail together return
-- at other times.
function Lease.retry_at(item)
  local RETRY_FIRST_MS, RETRY_CAP_MS = 10000, 3600000
  local chance = (tonumber(string.sub(request, 1, 4), 16) / 65536 + item.seq * 0.6180339887) % 1
  local jitter = 0.75 + 0.5 * chance
  local delay_ms = RETRY_FIRST_MS * 2 ^ (item.attempts - 1) * jitter
  return now + math.floor(math.min(RETRY_CAP_MS, delay_ms))
end

-- The claim does not count as an attempt, and the delay before it is over.
function Lease.undo_attempt(item)
  item.attempts = item.attempts - 1
  item.not_before = 0
end

-- The holder gives the item up unharmed.
function Lease.give_back(item)
  remove_from_index(item)
  Lease.undo_attempt(item)
  enqueue_or_wait(item)
end

-- Retries later if attempts are left, else makes the item a dead letter. If a
-- dependency was requeued in the meantime, the item waits instead of being delayed.
function Lease.retry_or_fail(item, retry)
  if retry and item.attempts < item.max_attempts then
    item.not_before = Lease.retry_at(item)
    remove_from_index(item)
    enqueue_or_wait(item)
  else
    move(item, 'failed', now)
  end
end

-- The token stays alive: the holder may still deliver until the next claim.
function Lease.expire(item)
  Reports.add_end(item.agent, item, 'expire')
  Lease.retry_or_fail(item, true)
  emit('expire', item)
end

function Lease.promote(item)
  remove_from_index(item)
  enqueue_or_wait(item)
  emit('promote', item)
end

-- Acts on at most `limit` due entries of an index of times. If the item is in another
-- state, its entry is dropped; if a key of the item holds another type, it is due again
-- after a lease. Returns the number of entries.
function Lease.act_on_due(schedule, state, act, limit)
  local due = call('ZRANGE', prefix .. schedule, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    local item = find_item(id)
    if not item or item.state ~= state then
      call('ZREM', prefix .. schedule, id)
    elseif not survives(act, item) then
      call('ZADD', prefix .. schedule, now + item.lease_ms, id)
    end
  end
  return #due
end

-- Every verb of the holder renews its lease, so its last step was one lease before the
-- end.
function Lease.last_step_at(item, expires) return expires - item.claim_lease_ms end

-- Repairs what an agent holds: an item in progress without a lease would never expire,
-- and gets a full one; an item that no longer exists is dropped. Returns the number of items
-- that were looked at.
function Lease.reconcile(agent, limit)
  local held = call('ZRANGE', key('held', agent), 0, limit - 1)
  local leases = #held > 0 and call('ZMSCORE', prefix .. 'leases', unpack(held))
  for i, id in ipairs(held) do
    local item = leases[i] or find_item(id)
    if not item then
      call('ZREM', key('held', agent), id)
    elseif item.state == 'in_progress' then
      call('ZADD', prefix .. 'leases', now + item.claim_lease_ms, id)
    end
  end
  return #held
end

-- Returns the number of leases that were reaped, of items that were promoted, and of those
-- that the caller held, up to the limit.
function Lease.maintain(limit)
  local held = Lease.reconcile(caller.agent, limit)
  local reaped = Lease.act_on_due('leases', 'in_progress', Lease.expire, limit)
  local promoted = Lease.act_on_due('delayed', 'delayed', Lease.promote, limit)
  return reaped, promoted, held
end

-- Returns what was edited since the last step of the holder, which learns of it now.
function Lease.take_edited(item)
  local edited = item.edited
  if edited ~= '' then call('HDEL', key('item', item.id), 'edited') end
  item.edited = ''
  return edited
end

-- A new claim by the caller: the token and the attempts go up by one.
function Lease.new_claim(item, lease_ms)
  item.is_new_claim = true
  if item.state == 'queued' then item.queued_ms = now - changed_at(item.id, item) end
  item.held_since = now
  item.token = string.format('%d', item.token + 1)
  item.claim = request
  item.live_token = item.token
  item.attempts = item.attempts + 1
  item.claim_lease_ms = lease_ms ~= '' and lease_ms or item.lease_ms
  item.comments_read = ''
  Lease.take_edited(item)
end

-- A holder that returns after its lease expired makes another attempt under the same
-- token.
function Lease.count_late_return(item)
  local is_taken = item.state == 'in_progress' or item.state == 'blocked'
  if not is_taken and not item.is_new_claim then item.attempts = item.attempts + 1 end
end

-- Gives the holder a full lease: after a claim, at a renewal, or when it returns after
-- its lease expired.
function Lease.set_in_progress(item)
  Lease.count_late_return(item)
  item.expires = now + item.claim_lease_ms
  if item.state == 'in_progress' then
    put(prefix .. 'leases', item.id, item.expires)
  else
    if item.agent == '' then item.agent = caller.agent end
    move(item, 'in_progress', item.expires)
  end
end

-- What a holder shows: the token, and the id of its claim. A failover may lose a claim,
-- and the next claim then gets the same number.
function Lease.shown_token(item) return item.token .. ':' .. item.claim end

-- What `worker run` hands to its command for an item with acceptance checks: under this
-- token the command may report, and may not complete the item. It does not tell the id of
-- the claim.
function Lease.report_token(item)
  return item.token .. ':' .. string.sub(redis.sha1hex(item.claim .. ' reports'), 1, 16)
end

function Lease.is_live(item, token)
  if item.live_token == '' or token == '' then return false end
  if token == Lease.shown_token(item) then return true end
  item.only_reports = token == Lease.report_token(item)
  return item.only_reports
end

-- Returns the token of an earlier reply if it may still act, else ''.
function Lease.token_if_live(id, token)
  local item = find_item(id)
  return item and Lease.is_live(item, token) and token or ''
end

function Lease.refuse_held(item)
  local host, pid, session, since = holder_of(item.id)
  refuse('HELD', {item = item.id, caller = caller.agent, agent = item.agent, host = host,
    pid = pid, session = session, since = since,
    expires = call('ZSCORE', prefix .. 'leases', item.id) or ''})
end

-- Promotes or reaps an item that is due, unless the caller `keeps_lease`.
function Lease.act_if_due(item, keeps_lease)
  if item.state == 'delayed' and tonumber(item.not_before) <= now then Lease.promote(item) end
  if keeps_lease or item.state ~= 'in_progress' then return end
  local expires = call('ZSCORE', prefix .. 'leases', item.id)
  if expires and tonumber(expires) <= now then Lease.expire(item) end
end

-- Returns a field of a hash, or of a stream entry, as Redis replies it.
local function value_of(flat, field)
  for i = 1, #flat, 2 do
    if flat[i] == field then return flat[i + 1] end
  end
end

-- Blanks the `request` of stream entries, all of them or only one id: it may be the
-- claim of a live token.
local function without_request(entries, request)
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    for i = 1, #fields, 2 do
      if fields[i] == 'request' and (not request or fields[i + 1] == request) then
        fields[i + 1] = ''
      end
    end
  end
  return entries
end

-- The reason is in the newest report of its kind; reports of others may have followed
-- it.
function Lease.refuse_cancelled(item)
  local reason = ''
  local reports = read_entries('XREVRANGE', key('progress', item.id), '+', '-', 100,
    REPORT_BYTES_LOOKED_AT)
  for _, entry in ipairs(reports) do
    if value_of(entry[2], 'kind') == 'cancel' then
      reason = value_of(entry[2], 'text')
      break
    end
  end
  refuse('CANCELLED', {item = item.id, reason = reason})
end

function Lease.refuse_lost(item, token)
  local number = string.match(token, '^[^:]*')
  refuse('LEASE_LOST', {item = item.id, token = number, newest = item.token, state = item.state})
end

-- Refuses to claim an item of a project that is closing: a later call cancels the item.
function Lease.refuse_closing(item)
  local status, reason = unpack(read_hash('project', item.project, 'HMGET', 'status',
    'closing_reason') or {})
  if status == 'closing' then refuse('CANCELLED', {item = item.id, reason = reason or ''}) end
end

-- Makes the caller the agent of an item that waits in a pool again, if its token is that of
-- the caller's claim: the lease has expired, and no other agent has claimed the item since. The
-- last claimer of an item that was cancelled there learns of that.
function Lease.return_to_claimer(item, token)
  if item.agent ~= '' then return end
  local may_return = item.state == 'cancelled' or Lease.is_live(item, token)
  if may_return and Owner.was_claimer(item) then item.agent = caller.agent end
end

-- Refuses the item of another agent, or of a pool. A holder that is late learns that another
-- agent has taken the item from the pool.
function Lease.need_own(item, token)
  Lease.return_to_claimer(item, token)
  if item.agent == caller.agent then return end
  local was_claimed = token ~= '' and item.pool ~= '' and item.state ~= 'cancelled'
  if was_claimed then Lease.refuse_lost(item, token) end
  refuse_not_yours(item)
end

-- The guard of every verb of a holder: returns if the caller may act on the item. A
-- report may find the item queued for the caller; claim_if_queued then claims it.
function Lease.check_holder(item, token, verb, is_report)
  Lease.act_if_due(item, Lease.is_live(item, token))
  Lease.need_own(item, token)
  if item.state == 'cancelled' then Lease.refuse_cancelled(item) end
  if Lease.is_live(item, token) then
    -- A dead letter can only be delivered.
    if item.state == 'failed' and verb ~= 'complete' then refuse_state(item, verb) end
    return item
  end
  if token ~= '' then Lease.refuse_lost(item, token) end
  if is_held(item) then Lease.refuse_held(item) end
  if item.state ~= 'queued' or not is_report then refuse_state(item, verb) end
  Lease.refuse_closing(item)
  item.claimed_by_report = true
  return item
end

-- Refuses a report that would claim an item over its budget. What a report with an `origin`
-- says has happened already.
function Lease.refuse_over_budget(item, origin)
  if item.claimed_by_report and not origin then Budget.refuse(item) end
end

function Lease.claim_if_queued(item)
  seen()
  if item.claimed_by_report then Lease.new_claim(item, '') end
end

-- Returns the ids of the newest comments that the holder was not shown yet, the oldest
-- first, and the number of those that were left out.
function Lease.unread_comments(item)
  if item.commented == item.comments_read then return {}, 0 end
  local ids, left = {}, 0
  local after = item.comments_read == '' and '-' or '(' .. item.comments_read
  local reports = read_entries('XREVRANGE', key('progress', item.id), item.commented, after,
    COMMENTS_LOOKED_AT, REPORT_BYTES_LOOKED_AT)
  for _, entry in ipairs(reports) do
    if value_of(entry[2], 'kind') == 'comment' then
      if #ids < COMMENTS_SHOWN then table.insert(ids, 1, entry[1]) else left = left + 1 end
    end
  end
  return ids, left
end

-- The same, and from now on the holder was shown them.
function Lease.new_comments(item)
  local ids, left = Lease.unread_comments(item)
  if item.commented ~= item.comments_read then
    call('HSET', key('item', item.id), 'comments_read', item.commented)
  end
  return ids, left
end

-- `entry` is the id of the entry that the step wrote, `percent` the item's percentage
-- after it. The holder learns here what was edited. A script returns it by
-- `View.with_comments`.
function Lease.receipt(item, remark, entry, percent)
  local expires = item.state == 'in_progress' and string.format('%d', item.expires) or ''
  local usual_remark = item.claimed_by_report and 'claimed' or ''
  local edited = Lease.take_edited(item)
  local comments, left = Lease.new_comments(item)
  local questions = {table.concat(item.open, ' '), table.concat(item.closed or {}, ' '),
    item.question or ''}
  local token = item.only_reports and Lease.report_token(item) or Lease.shown_token(item)
  return {item.id, token, expires, item.state, remark or usual_remark,
    entry or '', percent or '', edited, comments, left, questions}
end
