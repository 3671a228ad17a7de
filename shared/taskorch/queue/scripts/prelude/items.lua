-- Items: how they are found, counted, moved between the indexes of their states, and written
-- together with their event.
--
-- Fields that verbs add to an item while they run, beside those read from its hash:
--   is_new            create: it is not in Redis yet; a token or attempts of 0 are left out
--   claimed_by_report check_holder: a report found it queued for the caller, and
--                     claim_if_queued is to claim it; the receipt says so
--   is_new_claim      new_claim: emit also writes the holder, the token and its lease
--   expires           set_in_progress: ms when the lease ends, for the receipt
--   comments_read     new_claim: the new holder was shown none of the comments yet
--   token_revoked     revoke_token: emit also removes the token
--   open, closed      numbers of the open questions, and of those that this verb closed
--   only_reports      is_live: its token is that of a command of `worker run`, which does
--                     not complete the item
--   evidence          complete: the results of its acceptance checks as JSON, if it has some
--   stored            find_item: what is in its hash, by the places of the HMGET
--   owner             Owner: where the indexes and counts have it, until add_to_index
--   left_agent        enqueue_or_wait: the agent that gave it back to its pool, for the event
--   keeps_owner, loses_holder, changes   assign
--   is_delivered      complete: it was completed before, so this call changes nothing

local STATES = {
  pending = true, waiting = true, queued = true, in_progress = true, blocked = true,
  review = true, delayed = true, completed = true, failed = true, cancelled = true,
}
-- The functions of a part are in tables, one for each subject: Lua allows a function, and
-- so the library of functions, 200 local variables at a time. Only what most scripts call
-- is local itself.

-- What makes an item damaged: no script can work with it.
local Damage = {
  MAY_HAVE_NO_AGENT = {pending = true, completed = true, failed = true, cancelled = true},
  -- The numbers among the fields that `find_item` reads, by their place in its HMGET.
  NUMBERS = {
    [4] = 'token', [6] = 'live_token', [7] = 'attempts', [8] = 'max_attempts', [9] = 'lease_ms',
    [10] = 'claim_lease_ms', [11] = 'priority', [12] = 'seq', [13] = 'not_before',
    [15] = 'started_at', [17] = 'asked',
  },
  MAY_BE_EMPTY = {live_token = true, claim_lease_ms = true, started_at = true},
}
-- The reports of an item.
local Reports = {}
local Project = {}
-- Who has an item: the agent that it is assigned to, or the pool in which it waits. The owner
-- is the name of the agent, 'pool:' and the name of the pool, or ''. No agent has a colon in
-- its name.
local Owner = {}

local ID_PATTERNS = {item = '^item_[0-9a-z]+$', proj = '^proj_[0-9a-z]+$'}

local function is_id(kind, id) return #id <= 37 and string.find(id, ID_PATTERNS[kind]) ~= nil end

local function is_name(name)
  local has_two_dots = string.find(name, '..', 1, true)
  return #name <= 64 and not has_two_dots
    and string.find(name, '^[A-Za-z0-9][A-Za-z0-9_.-]*$') ~= nil
end

-- Returns the id of a stream entry, or '' if the text is not one.
local function entry_id(text)
  return text and #text <= 39 and string.match(text, '^%d+%-%d+$') or ''
end

local function is_number(text) return #text <= 16 and string.find(text, '^%d+$') ~= nil end

function Damage.is_list_of_numbers(text)
  return #text <= 200 and string.find(text, '^[%d ]*$') ~= nil
end

-- Returns what a command reads from the hash of an item or a project, or nil if the key
-- holds another type.
local function read_hash(kind, id, command, ...)
  local found = redis.pcall(command, key(kind, id), ...)
  if type(found) ~= 'table' or not found.err then return found end
  if string.find(found.err, 'WRONGTYPE', 1, true) then return nil end
  error({err = found.err}, 0)
end

-- The states in which an item of a pool waits there, and has no agent.
Owner.WAITS = {waiting = true, queued = true, delayed = true}

function Owner.of_pool(pool) return 'pool:' .. pool end

-- Returns the pool that an owner is, or nil.
function Owner.pool_of(owner) return string.match(owner, '^pool:(.*)$') end

-- Returns whether the caller was the last holder of an item that waits in its pool again.
function Owner.was_claimer(item)
  return item.agent == '' and call('HGET', key('item', item.id), 'claimer') == caller.agent
end

function Owner.of(agent, pool)
  if agent ~= '' or pool == '' then return agent end
  return Owner.of_pool(pool)
end

-- Returns the hash that counts the items of an owner.
function Owner.counts(owner)
  return Owner.pool_of(owner) and prefix .. owner or key('agent', owner)
end

-- Returns the damaged field of a claim, or nil. A blocked item may have no live token:
-- its holder has left the question.
function Damage.of_claim(state, token, live_token, lease_ms)
  if lease_ms == '' then return 'claim_lease_ms' end
  local has_no_holder = state == 'blocked' and live_token == ''
  if live_token ~= token and not has_no_holder then return 'live_token' end
end

-- Returns the first field of an item that no script can work with, or nil. `v` has the
-- values in the order of `find_item`.
function Damage.of_item(v)
  local project, state, agent, sequence = v[1], v[2], v[3] or '', v[12]
  local pool = v[25] or ''
  if not project or not is_id('proj', project) then return 'project' end
  if not STATES[state] then return 'state' end
  if agent ~= '' and not is_name(agent) then return 'agent' end
  if pool ~= '' and not is_name(pool) then return 'pool' end
  if not sequence then return 'seq' end
  for place, name in pairs(Damage.NUMBERS) do
    local value = v[place]
    if value and not is_number(value) then
      local is_empty = value == '' and Damage.MAY_BE_EMPTY[name]
      if not is_empty then return name end
    end
  end
  if not Damage.is_list_of_numbers(v[16] or '') then return 'open_questions' end
  if agent == '' then
    local may_have_none = Damage.MAY_HAVE_NO_AGENT[state] or pool ~= '' and Owner.WAITS[state]
    if not may_have_none then return 'agent' end
    if state == 'pending' and pool ~= '' then return 'pool' end
    return nil
  end
  if state == 'pending' then return 'agent' end
  if state == 'in_progress' or state == 'blocked' then
    return Damage.of_claim(state, v[4] or '0', v[6] or '', v[10] or LEASE_MS)
  end
end

-- Returns an item; nil if it does not exist; nil and the name of a field if it is
-- damaged.
local function find_item(id)
  if not is_id('item', id) then return nil, 'id' end
  local v = read_hash('item', id, 'HMGET', 'project', 'state', 'agent', 'token', 'claim',
    'live_token', 'attempts', 'max_attempts', 'lease_ms', 'claim_lease_ms', 'priority', 'seq',
    'not_before', 'blocker', 'started_at', 'open_questions', 'asked', 'commented',
    'comments_read', 'edited', 'access_token', 'event', 'since', 'holder_since', 'pool')
  if not v then return nil, 'key' end
  local exists = v[1] or v[2] or v[12]
  if not exists then return nil end
  local damaged = Damage.of_item(v)
  if damaged then return nil, damaged end
  local blocker, asked = v[14] or '', tonumber(v[17] or 0)
  local agent, pool = v[3] or '', v[25] or ''
  return {
    id = id, project = v[1], state = v[2], agent = agent, pool = pool,
    owner = Owner.of(agent, pool), stored = v,
    token = v[4] or '0', claim = v[5] or '', live_token = v[6] or '',
    attempts = tonumber(v[7] or 0), max_attempts = tonumber(v[8] or MAX_ATTEMPTS),
    lease_ms = v[9] or LEASE_MS, claim_lease_ms = v[10] or LEASE_MS,
    priority = v[11] or PRIORITY, seq = v[12], not_before = v[13] or '0',
    blocker = blocker, started_at = v[15] or now, asked = asked,
    open = Question.numbers(v[16] or '', asked, blocker),
    commented = entry_id(v[18]), comments_read = entry_id(v[19]), edited = v[20] or '',
    access_token = v[21] or '', event = v[22], since = v[23],
    held_since = tonumber(v[24] or v[15]) or now,
  }
end

-- What a caller that is confined to a project sees. In its queue, it skips items of other
-- projects.
local scope = {}
local MAX_SKIPPED = 200

-- Returns whether a project does not exist for a caller that is confined to another.
function scope.is_foreign(project) return confined ~= '' and project ~= confined end

-- Returns a project, or for '' (all of them) the only one that a confined caller sees.
function scope.project_or_own(project) return project == '' and confined or project end

-- Returns the state of an item, 'damaged' if it is not one, or nil if there is no item.
local function state_of(id)
  local state = is_id('item', id) and read_hash('item', id, 'HGET', 'state')
  if not state then return state end
  return STATES[state] and state or 'damaged'
end

local function refuse_no_item(id, damaged)
  refuse('NO_ITEM', {item = id, damaged = damaged or ''})
end

function scope.refuse_foreign_item(id)
  if confined == '' then return end
  if scope.is_foreign(read_hash('item', id, 'HGET', 'project')) then refuse_no_item(id) end
end

local function need_item(id)
  local item, damaged = find_item(id)
  if item and scope.is_foreign(item.project) then refuse_no_item(id) end
  return item or refuse_no_item(id, damaged)
end

-- Returns the items whose ids are every `step`-th argument. An id may come only once:
-- its second mention would be checked against the state before the first.
local function need_items(first, step, last)
  local items, mentioned = {}, {}
  for at = first, last, step do
    local id = arguments[at]
    if mentioned[id] then
      refuse('TOO_MANY', {item = id, what = 'mentions in a call', most = 1})
    end
    mentioned[id] = true
    table.insert(items, need_item(id))
  end
  return items
end

function Project.need(id)
  local status = call('HGET', key('project', id), 'status')
  if not status or scope.is_foreign(id) then refuse('NO_PROJECT', {project = id}) end
  return status
end

function Project.is_closed(project)
  local status = read_hash('project', project, 'HGET', 'status')
  return status == 'completed' or status == 'closing'
end

-- Returns '1' if a requeue of an item has to reopen its project, else ''.
function Project.reopens(id)
  local project = read_hash('item', id, 'HGET', 'project')
  return project and Project.is_closed(project) and '1' or ''
end

local function refuse_state(item, verb)
  refuse('WRONG_STATE', {item = item.id, state = item.state, verb = verb,
    reopens = Project.reopens(item.id)})
end

local function refuse_not_yours(item)
  refuse('NOT_YOURS', {item = item.id, agent = item.agent, caller = caller.agent,
    pool = item.pool})
end

local function next_sequence(n) return call('HINCRBY', meta, 'sequence', n or 1) end

-- Returns the first free id from the caller's random digits on. A whole id, given by
-- another system, is kept.
local function new_id(kind, digits)
  if string.find(digits, '_', 1, true) then return digits end
  local number = tonumber(digits, 16)
  while true do
    local id = string.format('%s_%08x', kind == 'project' and 'proj' or 'item', number)
    if call('EXISTS', key(kind, id)) == 0 then return id end
    number = (number + 1) % 4294967296
  end
end

local function count_item(item, by)
  add_to_count(key('project', item.project), item.state, by)
  local owner = item.owner
  if owner == '' then return end
  local counts = owner == item.agent and key('agent', owner) or Owner.counts(owner)
  add_to_count(counts, item.state, by)
end

local function index_of(item)
  if item.state == 'queued' then return key('queue', item.owner) end
  return INDEX[item.state] and prefix .. INDEX[item.state]
end

-- A blocked item whose holder has left the question has no holder.
local function is_held(item)
  return item.state == 'in_progress' or (item.state == 'blocked' and item.live_token ~= '')
end

local function remove_from_index(item)
  local from = index_of(item)
  if from then drop(from, item.id) end
  if item.state == 'in_progress' or item.state == 'blocked' then
    drop(key('held', item.owner), item.id)
  end
  count_item(item, -1)
end

local function add_to_index(item, state, score)
  Access.count_item(item, item.state, state)
  item.state, item.owner = state, Owner.of(item.agent, item.pool)
  local to = index_of(item)
  if to then put(to, item.id, score) end
  if is_held(item) then put(key('held', item.agent), item.id, now) end
  count_item(item, 1)
end

local function move(item, state, score)
  remove_from_index(item)
  add_to_index(item, state, score)
end

local function rank(item) return item.priority * 1e13 + item.seq end

-- Returns the state of an item without a holder, and its score in the index of that
-- state.
local function state_without_holder(item, open)
  if item.agent == '' and item.pool == '' then return 'pending', item.seq end
  if open > 0 then return 'waiting', now end
  if tonumber(item.not_before) > now then return 'delayed', item.not_before end
  return 'queued', rank(item)
end

-- A waiting agent takes a queued item, and of a delayed one learns when to look again.
local function wakes_agent(state) return state == 'queued' or state == 'delayed' end

-- Adds a pool, unless it is known. Returns whether it is new.
local function add_pool(name) return call('ZADD', prefix .. 'pools', 'NX', now, name) == 1 end

-- The item goes to the queue of its agent, or back to its pool.
local function enqueue_or_wait(item)
  if item.pool ~= '' then
    item.left_agent, item.agent = item.agent, ''
    -- it may have been forgotten, because no item waited in it
    add_pool(item.pool)
  end
  local open = call('SCARD', key('deps', item.id))
  add_to_index(item, state_without_holder(item, open))
  if wakes_agent(item.state) then wake(item.owner) end
end

-- A stream of one entry takes several times the memory of its item. So the report of a
-- completion without other reports is not in the stream, but in the fields of the item.
-- Returns it as an entry of the stream, or nil if the item is not completed.
function Reports.completion(item)
  local v = read_hash('item', item, 'HMGET', 'state', 'completed_at', 'agent', 'attempts', 'token',
    'completion', 'summary', 'tokens_in', 'tokens_out', 'cache_read', 'cost_micros', 'model')
  if not v or v[1] ~= 'completed' then return nil end
  local fields = {'kind', 'complete', 'agent', v[3] or '', 'attempt', v[4] or '0',
    'token', v[5] or '0', 'request', v[6] or '', 'text', v[7] or '', 'percent', '100'}
  -- Without other reports, all that the item has used is in this one.
  for i, field in ipairs({'tokens_in', 'tokens_out', 'cache_read', 'cost_micros', 'model'}) do
    if v[7 + i] then
      table.insert(fields, field)
      table.insert(fields, v[7 + i])
    end
  end
  return {(v[2] or '') .. '-0', fields}
end

-- Entries of a stream that are fetched together: each may have two texts of 64 KiB.
local ENTRIES_FETCHED = 8

local function bytes_of(entry)
  local bytes = 0
  for _, word in ipairs(entry[2]) do bytes = bytes + #word end
  return bytes
end

-- Returns entries of a stream by XRANGE or XREVRANGE, from one id to another: `most`, or as
-- many as have about `bytes` in all; then whether there are more.
local function read_entries(command, stream, from, to, most, bytes)
  local found, read = {}, 0
  while true do
    local page = call(command, stream, from, to, 'COUNT', ENTRIES_FETCHED)
    for _, entry in ipairs(page) do
      if #found == most or read >= bytes then
        bytes_read = bytes_read + read
        return found, true
      end
      read, from = read + bytes_of(entry), '(' .. entry[1]
      table.insert(found, entry)
    end
    if #page < ENTRIES_FETCHED then
      bytes_read = bytes_read + read
      return found, false
    end
  end
end

-- Moves the report of a completion to the stream, because another one follows it.
function Reports.move_completion(item)
  local stream = key('progress', item.id)
  if call('EXISTS', stream) == 1 then return end
  local id, fields = unpack(Reports.completion(item.id))
  local moved = redis.pcall('XADD', stream, id, unpack(fields))
  local is_no_id = type(moved) == 'table'
  if is_no_id then call('XADD', stream, '*', unpack(fields)) end
end

-- Adds an entry to the reports of an item, and returns its id.
function Reports.add(agent, item, kind, ...)
  if item.state == 'completed' then Reports.move_completion(item) end
  return call('XADD', key('progress', item.id), 'MAXLEN', '~', REPORTS_KEPT, '*',
    'kind', kind, 'agent', agent, 'attempt', item.attempts, 'token', item.token,
    'request', request, ...)
end

local function report(item, kind, ...) return Reports.add(caller.agent, item, kind, ...) end

-- Returns the host, the pid and the session of the newest claim, and since when it is.
local function holder_of(id)
  local v = call('HMGET', key('item', id), 'holder_host', 'holder_pid', 'holder_session',
    'holder_since', 'started_at')
  return v[1] or '', v[2] or '', v[3] or '', v[4] or v[5] or ''
end

-- The same for a report that ends a claim. It keeps who held the item, where and since
-- when: the next claim overwrites these fields of the item.
function Reports.add_end(agent, item, kind, ...)
  local host, pid, session, since = holder_of(item.id)
  return Reports.add(agent, item, kind, 'holder', item.agent, 'host', host, 'pid', pid,
    'session', session, 'since', since, ...)
end

local function report_end(item, kind, ...) return Reports.add_end(caller.agent, item, kind, ...) end

local emit

do
  -- The places of the fields in `item.stored`: what `find_item` has read.
  local AGENT, ATTEMPTS, NOT_BEFORE, POOL = 3, 7, 13, 25

  -- Writes what changed of an item. A field that is 0 is left out until it changes.
  local function write_item(item, ...)
    local name, stored = key('item', item.id), item.stored
    call('HSET', name, 'state', item.state, ...)
    if item.agent ~= (stored[AGENT] or '') then
      call('HSET', name, 'agent', item.agent)
      stored[AGENT] = item.agent
    end
    if item.pool ~= (stored[POOL] or '') then
      if item.pool == '' then call('HDEL', name, 'pool') else call('HSET', name, 'pool', item.pool) end
      stored[POOL] = item.pool
    end
    if tonumber(item.attempts) ~= tonumber(stored[ATTEMPTS] or 0) then
      call('HSET', name, 'attempts', item.attempts)
      stored[ATTEMPTS] = item.attempts
    end
    if tonumber(item.not_before) ~= tonumber(stored[NOT_BEFORE] or 0) then
      call('HSET', name, 'not_before', item.not_before)
      stored[NOT_BEFORE] = item.not_before
    end
  end

  local function add(fields, field, value)
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end

  -- Returns the fields of a new claim, and `...`. The first one leaves out what has its
  -- usual value; a later one replaces what the claim before it has written.
  local function fields_of_claim(item, ...)
    item.stored[ATTEMPTS] = item.attempts
    local fields = {'token', item.token, 'claim', item.claim, 'live_token', item.token,
      'attempts', item.attempts, 'holder_host', caller.host, 'holder_pid', caller.pid,
      'started_at', item.started_at, ...}
    local is_later = item.token ~= '1'
    if is_later or caller.session ~= '' then add(fields, 'holder_session', caller.session) end
    if is_later or now ~= item.started_at then add(fields, 'holder_since', now) end
    if is_later or item.claim_lease_ms ~= LEASE_MS then
      add(fields, 'claim_lease_ms', item.claim_lease_ms)
    end
    if item.pool ~= '' then
      item.stored[AGENT] = item.agent
      add(fields, 'agent', item.agent)
      add(fields, 'claimer', item.agent)
    end
    return unpack(fields)
  end

  -- Ends a transition: writes its event, and with one command what changed of the item.
  -- `...` are the verb's own fields. A project's event has no item. The event of an item
  -- that waits in a pool names the pool, and the agent that has just given it back.
  function emit(verb, item, ...)
    local pool = item.owner ~= item.agent and Owner.pool_of(item.owner or '')
    local event
    if pool then
      event = call('XADD', prefix .. 'events', 'MAXLEN', '~', EVENTS_KEPT, '*',
        'verb', verb, 'item', item.id, 'project', item.project,
        'agent', item.left_agent or '', 'state', item.state, 'pool', pool)
    else
      event = call('XADD', prefix .. 'events', 'MAXLEN', '~', EVENTS_KEPT, '*',
        'verb', verb, 'item', item.id or '', 'project', item.project,
        'agent', item.agent or '', 'state', item.state)
    end
    Counters.count(verb, item)
    if not item.id then return end
    item.event = event
    if not item.is_new then Question.adopt(item) end
    if item.is_new_claim then
      write_item(item, 'event', event, fields_of_claim(item, ...))
    elseif item.is_new then
      call('HSET', key('item', item.id), 'state', item.state, 'event', event, ...)
    else
      write_item(item, 'event', event, ...)
    end
    if item.token_revoked then
      call('HDEL', key('item', item.id), 'live_token')
    end
    return event
  end
end

-- Returns since when (ms) an item is queued or pending: the time of its newest event, or
-- of an earlier one if the newest did not move it. `item` has its fields, if it was read.
local function changed_at(id, item)
  local fields = item and {item.event, item.since} or read_hash('item', id, 'HMGET', 'event', 'since')
  local event, since = unpack(fields or {})
  local at, kept = string.match(since or '', '^(%d+%-%d+) (%d+)$')
  if event and at == event then return tonumber(kept) end
  return tonumber(string.match(event or '', '^(%d+)-%d+$') or now)
end

-- Keeps the time that `changed_at` returned before an event that left an item queued or
-- pending.
local function keep_since(item, event, since)
  if item.state == 'queued' or item.state == 'pending' then
    call('HSET', key('item', item.id), 'since', string.format('%s %d', event, since))
  end
end

-- Moves a damaged hash to `damaged:<number>`: no script works with it there, and people
-- can look at it.
local function quarantine(kind, id, why)
  local fields = read_hash(kind, id, 'HGETALL') or {}
  if #fields == 0 then return end
  Access.forget_item(id, fields)
  local moved = key('damaged', call('HINCRBY', meta, 'damaged', 1))
  for i = 1, #fields, 2 do call('HSET', moved, fields[i], fields[i + 1]) end
  call('HSET', moved, ':kind', kind, ':id', id, ':why', why, ':at', now)
  call('DEL', key(kind, id))
end

function Project.create(id, title, description, created_at)
  call('HSET', key('project', id), 'title', title, 'description', description,
    'status', 'active', 'orchestrator', caller.agent, 'created_at', created_at)
  call('ZADD', prefix .. 'projects', created_at, id)
  emit('project', {project = id, state = 'active'})
  return id
end

function Project.reopen(id)
  call('HSET', key('project', id), 'status', 'active')
  call('HDEL', key('project', id), 'completed_at', 'closing_before', 'closing_by',
    'closing_reason')
  call('DEL', key('archive', id))
  emit('reopen_project', {project = id, state = 'active'})
end

-- Adds an agent that has not called, unless it is known. Returns whether it is new.
local function add_agent(name)
  local is_new = call('ZADD', prefix .. 'agents', 'NX', 0, name) == 1
  if is_new then call('HSET', key('agent', name), 'named_at', now) end
  return is_new
end

-- Adds an owner. Returns whether it is an agent that is new, or a pool without agents.
function Owner.add(owner)
  local pool = Owner.pool_of(owner)
  if not pool then return add_agent(owner) end
  add_pool(pool)
  return call('EXISTS', key('members', pool)) == 0
end

-- Returns the agents, or the pools, besides new ones, whose names may be misspellings of
-- theirs: the last callers, or the newest pools, first, and none if there is no new one.
function Owner.besides(index, new)
  local others, is_new = {}, {}
  if #new == 0 then return others end
  for _, name in ipairs(new) do is_new[name] = true end
  for _, name in ipairs(call('ZREVRANGE', prefix .. index, 0, MAX_AGENTS_SHOWN - 1)) do
    if not is_new[name] then table.insert(others, name) end
  end
  return others
end

-- Keeps the pools of the caller, if they are not those that it had before: a pool is known by
-- the agents that take items from it. A session that names no pools says nothing about those
-- of its agent, which other sessions may have joined. A call that asks for items, after `seen`.
function Owner.join_pools()
  if not caller.pool_names or caller.pool_names == caller.known_pools then return end
  for pool in string.gmatch(caller.known_pools, '[^,]+') do
    call('ZREM', key('members', pool), caller.agent)
  end
  for _, pool in ipairs(caller.pools) do
    add_pool(pool)
    call('ZADD', key('members', pool), now, caller.agent)
  end
  call('HSET', key('agent', caller.agent), 'pools', caller.pool_names)
  Access.signal('view', 'agent:' .. caller.agent)
end

-- Returns the owners whose queues the caller takes items from, in their order.
function Owner.of_caller()
  local owners = {caller.agent}
  for _, pool in ipairs(caller.pools) do table.insert(owners, Owner.of_pool(pool)) end
  return owners
end

-- Returns whether the caller is a client of a gateway with the token of a worker.
function scope.is_of_worker() return caller.access ~= nil and caller.access.role == 'worker' end

-- Returns whether an item is not for such a client: it is neither its own, nor in its pools,
-- nor one that it reviews, nor one that it was the last to hold and that waits in a pool.
function scope.is_hidden(id)
  if not scope.is_of_worker() then return false end
  local v = read_hash('item', id, 'HMGET', 'agent', 'pool', 'claimer', 'reviewer')
  if not v then return true end
  local owner = Owner.of(v[1] or '', v[2] or '')
  for _, own in ipairs(Owner.of_caller()) do
    if owner == own then return false end
  end
  local was_claimer = (v[1] or '') == '' and v[3] == caller.agent
  return not was_claimer and v[4] ~= caller.agent
end

-- Records that the caller was seen now, once per call.
local function seen()
  if caller_was_seen then return end
  caller_was_seen = true
  call('ZADD', prefix .. 'agents', now, caller.agent)
  local name = key('agent', caller.agent)
  local host, pid, session, version, pools =
    unpack(call('HMGET', name, 'host', 'pid', 'session', 'version', 'pools'))
  caller.known_pools = pools or ''
  local is_known = host == caller.host and pid == caller.pid and session == caller.session
    and version == caller.version
  if not is_known then
    call('HSET', name, 'host', caller.host, 'pid', caller.pid, 'session', caller.session,
      'version', caller.version)
  end
end
