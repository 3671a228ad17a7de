-- overview: what people want to see in one view: what needs a person, what the agents work
--           on, what waits in the pools, what was used, or what has just happened. It looks
--           at a bounded number, and cuts texts.
-- KEYS     meta
-- ARGV     7 part: 'needs', 'agents', 'pools', 'usage' or 'events', 8 where to go on: the
--          cursor of needs or '', the number of agents or pools to skip, or 0, 9 maximum
--          number of rows, from 10 the owners of the part 'usage': 'namespace',
--          'project:<id>' or 'agent:<name>'
-- RETURNS  what the function of the part returns, below
-- ERRORS   none of its own
-- The first items of an index that are looked at, and what a call reads of them: an item
-- counts as 1, its row as 2, each dependency as 1.
local MAX_VISITED, MAX_LOOKS = 200, 80
-- Agents of a page, and what a page reads of them, besides their queues: an agent counts as
-- 1, an item that it holds as 8.
local MAX_AGENTS, HELD_STEPS = 150, 8
-- Items that an agent holds.
local MAX_HELD_SHOWN = 20
-- Events that are looked at, those that have a row, and ms before an event in which its
-- report was written.
local MAX_EVENTS, MAX_EVENT_ROWS, WRITTEN_MS = 80, 25, 1000
local part, from, limit = ARGV[7], ARGV[8], tonumber(ARGV[9])
local looks, reading = 0, Rows.begin()

local function ms(number) return string.format('%d', number) end

local function start_of(text) return Rows.start_of(text) end

local function title_of(kind, id) return Rows.title(reading, kind, id) end

local function described(item, more) return Rows.item(reading, item, more) end

-- Adds rows for items of a kind, after `skip` items and `added` rows of earlier calls:
-- `look` returns why an item needs a person, since when, and the fields that tell more, or
-- nil. Returns the new numbers if the next call has to go on, else nil.
local function add_needs(rows, kind, skip, added)
  local page = call('ZRANGE', kind.index, skip, MAX_VISITED - 1, 'WITHSCORES')
  for i = 1, #page, 2 do
    if added == limit then return nil end
    if looks >= MAX_LOOKS or not View.has_room() then return skip + (i - 1) / 2, added end
    looks = looks + 1
    local item = find_item(page[i])
    local is_wanted = item and not scope.is_foreign(item.project)
    if is_wanted and (not kind.state or item.state == kind.state) then
      local why, since, more = kind.look(item, tonumber(page[i + 1]))
      if why then
        added, looks = added + 1, looks + 2
        table.insert(rows, {why, ms(since), item.id, described(item, more)})
      end
    end
  end
  return nil
end

local function look_at_question(item, since)
  local questions = Question.read(item)
  for _, question in ipairs(questions) do
    bytes_read = bytes_read + #tostring(question.text) + #tostring(question.needs or '')
  end
  local oldest = questions[1]
  if not oldest then return nil end
  return 'question', since, {text = start_of(tostring(oldest.text)), number = oldest.number,
    needs = start_of(tostring(oldest.needs or '')), asker = tostring(oldest.agent or ''),
    open = #questions, attempts = item.attempts, max_attempts = item.max_attempts}
end

local function look_at_review(item, since)
  local summary, reviewer = unpack(call('HMGET', key('item', item.id), 'summary', 'reviewer'))
  return 'review', since, {text = start_of(summary), reviewer = reviewer or '',
    attempts = item.attempts, max_attempts = item.max_attempts,
    waiting = call('SCARD', key('dependents', item.id))}
end

-- After an expired lease there is no text.
local function look_at_failed(item, since)
  local ended = View.end_of_dead(item.id, since)
  return 'failed', since, {text = start_of(ended and value_of(ended[2], 'text')),
    kind = ended and value_of(ended[2], 'kind') or '', attempts = item.attempts,
    max_attempts = item.max_attempts, waiting = call('SCARD', key('dependents', item.id)),
    reopens = Project.reopens(item.id)}
end

-- Returns what is shown of a dependency that was not completed: of another project, a caller
-- that is confined to one gets the id and the state alone.
local function dead_dependency(id, state)
  local found = {dependency = id, dependency_state = state, reopens = Project.reopens(id)}
  local agent, generation, project =
    unpack(call('HMGET', key('item', id), 'agent', 'generation', 'project'))
  if scope.is_foreign(project) then return found end
  found.dependency_agent, found.dependency_generation = agent or '', generation or 0
  found.dependency_title = title_of('item', id)
  return found
end

local function look_at_waiting(item, since)
  local dependencies = read_hash('deps', item.id, 'SMEMBERS') or {}
  looks = looks + #dependencies
  for _, dependency in ipairs(dependencies) do
    local state = state_of(dependency)
    if state == 'failed' or state == 'cancelled' then
      return 'dead_dependency', since, dead_dependency(dependency, state)
    end
  end
end

local function look_at_unassigned(item) return 'unassigned', changed_at(item.id, item), {} end

-- Returns the numbers of items in progress, with an open question, in review, failed and
-- unassigned.
local function counts()
  if confined == '' then
    return {call('ZCARD', prefix .. 'leases'), call('ZCARD', prefix .. 'questions'),
      call('ZCARD', prefix .. 'reviews'), call('ZCARD', prefix .. 'dead'),
      call('ZCARD', prefix .. 'unassigned')}
  end
  local kept = read_hash('project', confined, 'HMGET', 'n_in_progress', 'n_review', 'n_failed',
    'n_pending') or {}
  for i = 1, 4 do kept[i] = math.max(0, tonumber(kept[i] or 0) or 0) end
  return {kept[1], call('ZCARD', key('questions', confined)), kept[2], kept[3], kept[4]}
end

local parts = {}

local KINDS = {
  {index = confined == '' and prefix .. 'questions' or key('questions', confined),
    look = look_at_question},
  {index = prefix .. 'reviews', state = 'review', look = look_at_review},
  {index = prefix .. 'dead', state = 'failed', look = look_at_failed},
  {index = prefix .. 'waiting', state = 'waiting', look = look_at_waiting},
  {index = prefix .. 'unassigned', state = 'pending', look = look_at_unassigned},
}

-- {now, {items in progress, with an open question, in review, failed, unassigned}, {{why,
-- since in ms, item, {field, value …}} …}, cursor of the next call or ''}: of each kind the
-- first ones. Of waiting items the oldest are looked at.
function parts.needs()
  local rows, next_cursor = {}, ''
  local kind, skip, added = string.match(from, '^(%d+):(%d+):(%d+)$')
  kind, skip, added = tonumber(kind or 1), tonumber(skip or 0), tonumber(added or 0)
  for number = kind, #KINDS do
    skip, added = add_needs(rows, KINDS[number], skip, added)
    if skip then
      next_cursor = string.format('%d:%d:%d', number, skip, added)
      break
    end
    skip, added = 0, 0
  end
  return {ms(now), counts(), rows, next_cursor}
end

-- Returns the fields of the newest report of the claim of an item, if it has one.
local function report_of(item)
  local newest = View.newest_about_work(item.id)
  if not newest or value_of(newest[2], 'token') ~= item.token then return {} end
  return {kind = value_of(newest[2], 'kind') or '', text = start_of(value_of(newest[2], 'text')),
    reported_at = string.match(newest[1], '^%d+')}
end

-- Returns {item, {field, value …}} of an item that an agent holds.
local function held_row(item)
  local host, _, session, since = holder_of(item.id)
  local fields = report_of(item)
  local score = call('ZSCORE', index_of(item), item.id)
  fields.host, fields.session, fields.since = host, session, since
  fields.percent = call('HGET', key('item', item.id), 'percent') or ''
  if item.state == 'in_progress' and score then
    fields.expires, fields.lease_ms = score, item.claim_lease_ms
    fields.last_step = ms(Lease.last_step_at(item, score))
  elseif score then
    fields.asked_at = score
  end
  return {item.id, described(item, fields)}
end

-- Returns the rows of the items that an agent holds, and their number.
local function held_by(agent)
  local held = key('held', agent)
  local count, rows, seen_count = call('ZCARD', held), {}, 0
  if count == 0 then return rows, 0 end
  for _, id in ipairs(call('ZRANGE', held, 0, MAX_HELD_SHOWN - 1)) do
    local item = find_item(id)
    if item and is_held(item) and not scope.is_foreign(item.project) and View.has_room() then
      reading.steps, seen_count = reading.steps + HELD_STEPS, seen_count + 1
      table.insert(rows, held_row(item))
    end
  end
  return rows, confined == '' and count or seen_count
end

-- {now, number of agents to skip next time or '', number of agents or 0, {{agent, last call
-- in ms or 0, host, number of items it holds, {{item, {field, value …}} …} of them, number
-- in its queue, since when the oldest of these is in ms or '', {item, {field, value …}} or {} of
-- the first if it holds none} …}}: the agents that called last come first, those that never
-- called are at the end. To a caller that is confined to a project, the agents that have
-- items of it.
function parts.agents()
  local agents, rows = prefix .. 'agents', {}
  local count = confined == '' and call('ZCARD', agents) or 0
  local skip = tonumber(from) or 0
  local page = call('ZREVRANGE', agents, skip, skip + MAX_AGENTS - 1, 'WITHSCORES')
  for i = 1, #page, 2 do
    if not Rows.has_room(reading) then
      return {ms(now), ms(skip + (i - 1) / 2), count, rows}
    end
    local name, last_seen = page[i], page[i + 1]
    reading.steps = reading.steps + 1
    local held, held_count = held_by(name)
    local first, queued, since = Rows.queued(reading, name, held_count == 0)
    local has_items = held_count > 0 or queued > 0
    if has_items or confined == '' then
      local host = has_items and call('HGET', key('agent', name), 'host') or ''
      table.insert(rows, {name, last_seen, host, held_count, held, queued, since, first})
    end
  end
  local has_more = #page == 2 * MAX_AGENTS
  return {ms(now), has_more and ms(skip + MAX_AGENTS) or '', count, rows}
end

-- {now, number of pools to skip next time or '', {row of a pool …}}: see `Rows.pools`.
function parts.pools()
  local skip, rows = Rows.pools(reading, tonumber(from), limit)
  return {ms(now), skip, rows}
end

local function sum_of(value) return Usage.text(Usage.numbers(value or '')) end

-- Returns the hash with what an owner has used, or nil if the caller does not see it: of the
-- namespace, a caller that is confined to a project sees this project.
local function usage_of(owner)
  local own = confined ~= '' and 'project:' .. confined
  if own and owner == 'namespace' then return Usage.of(own) end
  return (not own or owner == own) and Usage.of(owner) or nil
end

-- {now, {{owner, four numbers that it has used in all, and today, as texts, title of a project or
-- ''} …}}, without owners that the caller does not see.
function parts.usage()
  local rows = {}
  for i = 10, #ARGV do
    local owner = ARGV[i]
    local hash = usage_of(owner)
    if hash then
      local sums = redis.pcall('HMGET', hash, 'total', 'day:' .. Usage.today())
      if sums.err then sums = {} end
      local project = string.match(owner, '^project:(.*)$')
      table.insert(rows, {owner, sum_of(sums[1]), sum_of(sums[2]),
        project and title_of('project', project) or ''})
    end
  end
  return {ms(now), rows}
end

-- Events that only move an item, or that no agent and no person asked for.
local QUIET = {
  mend = true, promote = true, ready = true, renew = true, stray = true, wait = true,
}
-- Events whose text is in the report that was written with them.
local REPORTED = {
  agent_comment = true, answer = true, blocker = true, cancel = true, comment = true, fail = true,
  progress = true, release = true, requeue = true, send_back = true,
}

-- Returns the newest entry of a stream that was written with an event and fits, or nil.
local function written_with(stream, at, fits)
  local entries = call('XREVRANGE', stream, ms(at), ms(at - WRITTEN_MS), 'COUNT', 4)
  for _, entry in ipairs(entries) do
    bytes_read = bytes_read + bytes_of(entry)
    if fits(entry[2]) then return entry[2] end
  end
end

-- Returns the text and the percent of an event.
local function text_of(verb, item, project, at)
  local fields
  if verb == 'discover' then
    fields = written_with(key('discoveries', project), at, function(found)
      return value_of(found, 'item') == item
    end)
  elseif verb == 'complete' or verb == 'review' then
    return start_of(read_hash('item', item, 'HGET', 'summary') or ''), ''
  elseif REPORTED[verb] then
    fields = written_with(key('progress', item), at, function(found)
      return value_of(found, 'kind') == verb
    end)
  end
  if not fields then return '', '' end
  return start_of(value_of(fields, 'text')), value_of(fields, 'percent') or ''
end

local function event_row(entry)
  local fields, at = entry[2], tonumber(string.match(entry[1], '^%d+'))
  local item, project = value_of(fields, 'item') or '', value_of(fields, 'project') or ''
  local item_title, text, percent = '', '', ''
  if is_id('item', item) and is_id('proj', project) then
    item_title = title_of('item', item)
    text, percent = text_of(value_of(fields, 'verb'), item, project, at)
  end
  local project_title = is_id('proj', project) and title_of('project', project) or ''
  return {entry, item_title, project_title, text, percent}
end

-- {now, newest event, {{stream entry, title of the item, title of the project, text,
-- percent or ''} …}}: the newest events that people care about, the newest first.
function parts.events()
  local rows = {}
  local page = call('XREVRANGE', prefix .. 'events', '+', '-', 'COUNT', MAX_EVENTS)
  for _, entry in ipairs(page) do
    if #rows == math.min(limit, MAX_EVENT_ROWS) or not View.has_room() then break end
    local is_own = not scope.is_foreign(value_of(entry[2], 'project'))
    if is_own and not QUIET[value_of(entry[2], 'verb')] then
      table.insert(rows, event_row(entry))
    end
  end
  return {ms(now), page[1] and page[1][1] or '0-0', rows}
end

return guarded(function() return parts[part]() end)
