-- Items: found, counted, moved between the indexes of their states, written together with their event.

local function find(id)
  local v = call('HMGET', key('item', id), 'project', 'state', 'agent', 'token', 'claim', 'live_token', 'attempts',
    'max_attempts', 'lease_ms', 'claim_lease_ms', 'priority', 'seq', 'not_before', 'blocker', 'started_at')
  if not v[1] then return nil end
  return {id = id, project = v[1], state = v[2], agent = v[3] or '', token = v[4] or '0', claim = v[5] or '',
    live_token = v[6] or '', attempts = tonumber(v[7] or 0), max_attempts = tonumber(v[8] or MAX_ATTEMPTS), lease_ms = v[9] or LEASE_MS,
    claim_lease_ms = v[10] or '', priority = v[11] or PRIORITY, seq = v[12], not_before = v[13] or '0', blocker = v[14] or '',
    started_at = v[15] or now}
end

local function state_of(id) return call('HGET', key('item', id), 'state') end

local function load(id) return find(id) or fail('NO_ITEM', {item = id}) end

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
