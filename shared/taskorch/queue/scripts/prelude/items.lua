-- Items: found, counted, moved between the indexes of their states, written together with their event.

local STATES = {pending = true, waiting = true, queued = true, in_progress = true, blocked = true, delayed = true,
  completed = true, failed = true, cancelled = true}
local UNASSIGNED = {pending = true, completed = true, failed = true, cancelled = true}
-- The numbers among the fields that `find` reads, by their places; those of NONE may be empty.
local NUMBERS = {[4] = 'token', [6] = 'live_token', [7] = 'attempts', [8] = 'max_attempts', [9] = 'lease_ms',
  [10] = 'claim_lease_ms', [11] = 'priority', [12] = 'seq', [13] = 'not_before', [15] = 'started_at'}
local NONE = {live_token = true, claim_lease_ms = true, started_at = true}

local function is_id(kind, id) return #id <= 37 and string.find(id, '^' .. kind .. '_[0-9a-z]+$') ~= nil end

local function is_name(name)
  return #name <= 64 and string.find(name, '^[A-Za-z0-9][A-Za-z0-9_.-]*$') ~= nil and not string.find(name, '..', 1, true)
end

local function is_number(text) return #text <= 16 and string.find(text, '^%d+$') ~= nil end

-- What a command reads of the hash of an item or a project; nil where the key holds something else than a hash.
local function hash(kind, id, command, ...)
  local found = redis.pcall(command, key(kind, id), ...)
  if type(found) ~= 'table' or not found.err then return found end
  if string.find(found.err, 'WRONGTYPE', 1, true) then return nil end
  error({err = found.err}, 0)
end

-- The same of an item that is in progress or blocked; a question may be left by its holder.
local function damage_of_claim(state, token, live_token, lease_ms)
  if lease_ms == '' then return 'claim_lease_ms' end
  if live_token ~= token and not (state == 'blocked' and live_token == '') then return 'live_token' end
end

-- The first field of an item that a script cannot work with, or nil.
local function damage(v)
  if not v[1] or not is_id('proj', v[1]) then return 'project' end
  if not STATES[v[2]] then return 'state' end
  if v[3] and v[3] ~= '' and not is_name(v[3]) then return 'agent' end
  if not v[12] then return 'seq' end
  for place, name in pairs(NUMBERS) do
    if v[place] and not is_number(v[place]) and not (v[place] == '' and NONE[name]) then return name end
  end
  if (v[3] or '') == '' then return not UNASSIGNED[v[2]] and 'agent' or nil end
  if v[2] == 'pending' then return 'agent' end
  if v[2] == 'in_progress' or v[2] == 'blocked' then return damage_of_claim(v[2], v[4] or '0', v[6] or '', v[10] or '') end
end

-- An item; nil where it is not there, or damaged: then the second value says which field is wrong.
local function find(id)
  if not is_id('item', id) then return nil, 'id' end
  local v = hash('item', id, 'HMGET', 'project', 'state', 'agent', 'token', 'claim', 'live_token', 'attempts',
    'max_attempts', 'lease_ms', 'claim_lease_ms', 'priority', 'seq', 'not_before', 'blocker', 'started_at')
  if not v then return nil, 'key' end
  if not v[1] and not v[2] and not v[12] then return nil end
  local wrong = damage(v)
  if wrong then return nil, wrong end
  return {id = id, project = v[1], state = v[2], agent = v[3] or '', token = v[4] or '0', claim = v[5] or '',
    live_token = v[6] or '', attempts = tonumber(v[7] or 0), max_attempts = tonumber(v[8] or MAX_ATTEMPTS), lease_ms = v[9] or LEASE_MS,
    claim_lease_ms = v[10] or '', priority = v[11] or PRIORITY, seq = v[12], not_before = v[13] or '0', blocker = v[14] or '',
    started_at = v[15] or now}
end

-- The state of an item; nil where it is not there.
local function state_of(id)
  local state = is_id('item', id) and hash('item', id, 'HGET', 'state')
  return state and (STATES[state] and state or 'damaged')
end

local function no_item(id, wrong) fail('NO_ITEM', {item = id, damaged = wrong or ''}) end

local function load(id)
  local item, wrong = find(id)
  return item or no_item(id, wrong)
end

-- The items that stand among the arguments, each once: a second mention would be checked as if it were the first.
local function load_each(first, step, last)
  local items, seen = {}, {}
  for at = first, last, step do
    local id = ARGV[at]
    if seen[id] then fail('TOO_MANY', {item = id, what = 'mentions in a call', most = 1}) end
    seen[id] = true
    table.insert(items, load(id))
  end
  return items
end

local function need_project(id)
  local status = call('HGET', key('project', id), 'status')
  if not status then fail('NO_PROJECT', {project = id}) end
  return status
end

local function wrong_state(item, verb) fail('WRONG_STATE', {item = item.id, state = item.state, verb = verb}) end

local function next_sequence(n) return call('HINCRBY', KEYS[1], 'sequence', n or 1) end

-- An id nobody has: from the caller's random digits on, the first that is free. An id from elsewhere is kept.
local function new_id(kind, digits)
  if string.find(digits, '_', 1, true) then return digits end
  local number = tonumber(digits, 16)
  while true do
    local id = string.format('%s_%08x', kind == 'project' and 'proj' or 'item', number)
    if call('EXISTS', key(kind, id)) == 0 then return id end
    number = (number + 1) % 4294967296
  end
end

local function count(item, by)
  tally(key('project', item.project), item.state, by)
  if item.agent ~= '' then tally(key('agent', item.agent), item.state, by) end
end

local function index(item)
  if item.state == 'queued' then return key('queue', item.agent) end
  return INDEX[item.state] and prefix .. INDEX[item.state]
end

-- A question that its holder has left to the answer is nobody's.
local function is_held(item)
  return item.state == 'in_progress' or (item.state == 'blocked' and item.live_token ~= '')
end

local function leave(item)
  local from = index(item)
  if from then drop(from, item.id) end
  if item.state == 'in_progress' or item.state == 'blocked' then drop(key('held', item.agent), item.id) end
  count(item, -1)
end

local function enter(item, state, score)
  item.state = state
  local to = index(item)
  if to then put(to, item.id, score) end
  if is_held(item) then put(key('held', item.agent), item.id, now) end
  count(item, 1)
end

local function move(item, state, score)
  leave(item)
  enter(item, state, score)
end

local function rank(item) return item.priority * 1e13 + item.seq end

-- Where an item belongs that nobody holds, and its score there: with no agent, with open dependencies, before its time,
-- or in the queue.
local function placed(item, open)
  if item.agent == '' then return 'pending', item.seq end
  if open > 0 then return 'waiting', now end
  if tonumber(item.not_before) > now then return 'delayed', item.not_before end
  return 'queued', rank(item)
end

-- A waiter takes an item that is queued, and learns when to look again where it is delayed.
local function is_awaited(state) return state == 'queued' or state == 'delayed' end

local function place(item)
  enter(item, placed(item, call('SCARD', key('deps', item.id))))
  if is_awaited(item.state) then wake(item.agent) end
end

local function report_of(agent, item, kind, ...)
  call('XADD', key('progress', item.id), 'MAXLEN', '~', REPORTS_KEPT, '*',
    'kind', kind, 'agent', agent, 'attempt', item.attempts, 'token', item.token, 'request', ARGV[1], ...)
end

local function report(item, kind, ...) report_of(me.agent, item, kind, ...) end

local function write(item, ...)
  call('HSET', key('item', item.id), 'state', item.state, 'attempts', item.attempts, 'not_before', item.not_before, ...)
end

-- The end of each transition: its event, and in one go what it changed of the item; `...` are fields of the verb's own.
local function emit(verb, item, ...)
  local event = call('XADD', prefix .. 'events', 'MAXLEN', '~', EVENTS_KEPT, '*',
    'verb', verb, 'item', item.id or '', 'project', item.project, 'agent', item.agent or '', 'state', item.state)
  if not item.id then return end
  if item.started then
    write(item, 'event', event, 'token', item.token, 'claim', item.claim, 'live_token', item.token,
      'claim_lease_ms', item.claim_lease_ms, 'holder_host', me.host, 'holder_pid', me.pid, 'holder_session', me.session,
      'holder_since', now, 'started_at', item.started_at, ...)
  elseif item.new then -- its token and its attempts are 0, and left out
    call('HSET', key('item', item.id), 'state', item.state, 'event', event, ...)
  else
    write(item, 'event', event, ...)
  end
  if item.settled then call('HDEL', key('item', item.id), 'live_token', 'blocker', 'needs') end
end

-- Moves the hash of what is damaged to where nothing works with it, and people can look at it.
local function set_aside(kind, id, why)
  local fields = hash(kind, id, 'HGETALL') or {}
  if #fields == 0 then return end
  local moved = key('damaged', call('HINCRBY', KEYS[1], 'damaged', 1))
  for i = 1, #fields, 2 do call('HSET', moved, fields[i], fields[i + 1]) end
  call('HSET', moved, ':kind', kind, ':id', id, ':why', why, ':at', now)
  call('DEL', key(kind, id))
end

local function open_project(id, title, description, created)
  call('HSET', key('project', id), 'title', title, 'description', description, 'status', 'active',
    'orchestrator', me.agent, 'created_at', created)
  call('ZADD', prefix .. 'projects', created, id)
  emit('project', {project = id, state = 'active'})
  return id
end

local touched = false

local function touch()
  if touched then return end
  touched = true
  call('ZADD', prefix .. 'agents', now, me.agent)
  call('HSET', key('agent', me.agent), 'host', me.host, 'pid', me.pid, 'session', me.session,
    'version', me.version)
end
