-- notify_take: hands the next notifications for a target to one service, which then makes an
--              attempt to send them. Each is handed out once; those that could certainly not
--              be sent are handed out again when their pause is over.
-- KEYS     meta
-- ARGV     7 target, 8 service, 9 JSON list of the kinds that the target wants, 10 JSON list
--          of what the service has found, and no event tells: {kind, item or '', project or
--          '', agent or '', detail, subject}, 11 ms until which the attempt ends, from now
-- RETURNS  {batch, attempt, {{kind, item or '', project, agent or '', detail, ms} …}, '1' if
--          there is more to look at}: the batch is '' if there is nothing to send now; nil
--          if there is nothing to look at either
-- ERRORS   none of its own
-- Events that a call looks at, notifications of a batch, and subjects that are kept.
local MAX_EVENTS, MAX_BATCH, SUBJECTS_KEPT = 150, 100, 10000
-- Verbs that end a claim, and what the state after them is to people.
local ENDS = {expire = true, fail = true, review = true}
local KINDS_OF_STATES = {failed = 'failed', review = 'review'}
local target, service, lease_ms = ARGV[7], ARGV[8], tonumber(ARGV[11])
local record, subjects = key('notify', target), key('notified', target)
local is_wanted = {}
for _, kind in ipairs(cjson.decode(ARGV[9])) do is_wanted[kind] = true end
local found, is_in_batch, new_subjects = {}, {}, {}

-- Adds a notification, unless the target got one about the same subject before, or has the
-- same in this batch. What may happen again has no subject.
local function add(kind, item, project, agent, detail, at, subject)
  if not is_wanted[kind] then return end
  local what = subject or kind .. ':' .. item .. ':' .. project
  if is_in_batch[what] or (subject and call('ZSCORE', subjects, subject)) then return end
  is_in_batch[what] = true
  if subject then table.insert(new_subjects, subject) end
  table.insert(found, {kind, item, project, agent, detail, string.format('%d', at)})
end

-- Adds what an event tells people, if it still holds: after an outage, a question may have
-- been answered.
local function add_event(entry)
  local fields, at = entry[2], tonumber(string.match(entry[1], '^%d+'))
  local verb, project = value_of(fields, 'verb'), value_of(fields, 'project') or ''
  if verb == 'complete_project' then
    return add('project_completed', '', project, '', '', at)
  end
  local state = value_of(fields, 'state')
  local kind = verb == 'blocker' and 'blocked' or ENDS[verb] and KINDS_OF_STATES[state]
  local item = kind and find_item(value_of(fields, 'item') or '')
  if not item then return end
  if kind ~= 'blocked' then
    if item.state == state then add(kind, item.id, project, item.agent, verb, at) end
  elseif #item.open > 0 then
    local number = tostring(item.open[#item.open])
    add(kind, item.id, project, item.agent, number, at, kind .. ':' .. item.id .. ':' .. number)
  end
end

-- Adds what the service has found by looking, except for items that are gone.
local function add_found()
  for _, row in ipairs(cjson.decode(ARGV[10])) do
    local kind, id, project, agent, detail, subject = unpack(row)
    local item = id ~= '' and find_item(id)
    local is_gone = id ~= '' and not item
    if item then project, agent = item.project, item.agent end
    if #found < MAX_BATCH and not is_gone then
      add(kind, id, project, agent, detail, now, kind .. ':' .. subject)
    end
  end
end

-- Adds what the events after the target's cursor tell, and returns the cursor of the last
-- one that was looked at, and whether there may be more. A new target begins now.
local function add_events(cursor)
  if not cursor then return View.newest_event(), false end
  local entries = call('XRANGE', prefix .. 'events', '(' .. cursor, '+', 'COUNT', MAX_EVENTS)
  for _, entry in ipairs(entries) do
    if #found == MAX_BATCH then return cursor, true end
    add_event(entry)
    cursor = entry[1]
  end
  return cursor, #entries == MAX_EVENTS
end

-- Keeps the subjects of a batch, and forgets the oldest.
local function keep_subjects()
  for _, subject in ipairs(new_subjects) do call('ZADD', subjects, now, subject) end
  local excess = call('ZCARD', subjects) - SUBJECTS_KEPT
  if excess < 1 then return end
  call('ZREM', subjects, unpack(call('ZRANGE', subjects, 0, excess - 1)))
end

-- Hands out the batch of the record. From here on its attempt may reach the target, so only
-- the service may say how it ended.
local function hand_out(batch, attempt, more)
  call('HSET', record, 'batch', batch, 'attempt', attempt, 'service', service,
    'until', string.format('%d', now + lease_ms))
  return {batch, attempt, more}
end

-- Drops a batch whose service has not reported how its attempt ended: the target may have it.
local function drop_unsettled()
  call('HDEL', record, 'batch', 'notifications', 'attempt', 'service', 'until')
  call('HINCRBY', record, 'lost', 1)
  call('HSET', record, 'failed_at', now, 'failure', 'the service ended during an attempt')
end

return once(function()
  local v = call('HMGET', record, 'cursor', 'batch', 'attempt', 'service', 'until', 'not_before')
  local cursor, batch, attempt, holder, ends, not_before = unpack(v)
  if holder and tonumber(ends) > now then return nil end
  if holder then
    drop_unsettled()
    batch = nil
  end
  if not_before and tonumber(not_before) > now then return nil end
  if batch then return hand_out(batch, attempt + 1, '') end

  add_found()
  local last, has_more = add_events(cursor)
  if last ~= cursor then call('HSET', record, 'cursor', last) end
  local more = has_more and '1' or ''
  if #found == 0 then return has_more and {'', 0, more} or nil end
  keep_subjects()
  call('HSET', record, 'notifications', cjson.encode(found))
  return hand_out(request, 1, more)
end, function(reply)
  if not reply then return nil end
  local batch, attempt, more = unpack(reply)
  local kept, notifications = unpack(call('HMGET', record, 'batch', 'notifications'))
  local is_own = batch ~= '' and kept == batch
  return {is_own and batch or '', attempt, is_own and cjson.decode(notifications) or {}, more}
end)
