-- The text in front of every script: its keys, its caller, errors, and the moves that several verbs share.
-- KEYS     1 the namespace's meta key; every other key shares its prefix, so a call stays in one slot
-- ARGV     1 request id (16 hex digits); the caller's 2 agent, 3 host, 4 pid, 5 session, 6 version; a verb's own from 7
-- RETURNS  what the verb returns; times are ms since the epoch by the clock of this server
-- ERRORS   SCHEMA {found, supported}

local SCHEMA = '1'
local REPLY_KEPT_MS = 600000
local LEASE_MS, MAX_ATTEMPTS, PRIORITY = '14400000', 3, '2' -- an item's own, where its hash does not say otherwise
local BATCH = 10
local AT_ONCE = 1000 -- values of a call
local RETRY_FIRST_MS, RETRY_CAP_MS = 10000, 3600000
local REPORTS_KEPT, EVENTS_KEPT = 1000, 100000
local INDEX = {pending = 'unassigned', waiting = 'waiting', in_progress = 'leases', blocked = 'blocked', delayed = 'delayed', failed = 'dead'}

local call = redis.call
local prefix = string.sub(KEYS[1], 1, -#'meta' - 1)
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local me = {agent = ARGV[2], host = ARGV[3], pid = ARGV[4], session = ARGV[5], version = ARGV[6]}

local function key(kind, id) return prefix .. kind .. ':' .. id end

-- Errors ---------------------------------------------------------------------------------------------------------

local function fail(word, details) error({err = word .. ' ' .. cjson.encode(details)}, 0) end

-- Moves ----------------------------------------------------------------------------------------------------------
-- Each is written at once; but where a call has several items it gathers them, after its guards, and what they share is
-- written with one call for each key at the end of the verb. It reads no index, no count and no wake list until then.

local gathered

local function gather(items)
  if #items > 1 then gathered = {entries = {}, counts = {}, wakes = {}} end
end

local function put(index, id, score)
  if not gathered then return call('ZADD', index, score, id) end
  gathered.entries[index] = gathered.entries[index] or {}
  gathered.entries[index][id] = score
end

local function drop(index, id)
  if not gathered then return call('ZREM', index, id) end
  put(index, id, false)
end

local function tally(owner, state, by)
  if not gathered then return call('HINCRBY', owner, 'n_' .. state, by) end
  local states = gathered.counts[owner] or {}
  gathered.counts[owner], states[state] = states, (states[state] or 0) + by
end

local function wake(agent)
  if gathered then gathered.wakes[agent] = (gathered.wakes[agent] or 0) + 1 return end
  local list = key('wake', agent)
  if call('LLEN', list) < 2 then call('RPUSH', list, '1') end
end

local function call_with(command, name, values)
  for from = 1, #values, AT_ONCE do
    call(command, name, unpack(values, from, math.min(from + AT_ONCE - 1, #values)))
  end
end

local function write_entries(index, entries)
  local there, gone = {}, {}
  for id, score in pairs(entries) do
    if score then
      there[#there + 1] = score
      there[#there + 1] = id
    else
      gone[#gone + 1] = id
    end
  end
  call_with('ZADD', index, there)
  call_with('ZREM', index, gone)
end

local function write_gathered()
  local moves = gathered
  gathered = nil
  for index, entries in pairs(moves.entries) do write_entries(index, entries) end
  for owner, states in pairs(moves.counts) do
    for state, by in pairs(states) do
      if by ~= 0 then tally(owner, state, by) end
    end
  end
  for agent, times in pairs(moves.wakes) do
    for _ = 1, math.min(times, 2) do wake(agent) end
  end
end

-- Runs -----------------------------------------------------------------------------------------------------------

-- Nothing was written yet when the fence refuses: it asks for two keys that nobody ever makes, which a node of a Cluster
-- answers by an error while the slot is being moved key by key, and only a part of the keys may be found there.
-- With them comes the reply that is kept of this request. A script may `accept` another word in the place of the schema
-- version.
local function guarded(run, accept)
  local ok, result = pcall(function()
    local kept = call('MGET', prefix .. 'fence:1', prefix .. 'fence:2', key('req', ARGV[1]))[3]
    local found = call('HGET', KEYS[1], 'schema')
    if found and found ~= SCHEMA and found ~= accept then fail('SCHEMA', {found = found, supported = SCHEMA}) end
    return run(found, kept)
  end)
  if ok then return result end
  return redis.error_reply(type(result) == 'table' and result.err or tostring(result))
end

-- A server asks for a user's rights at each command, in the midst of a script: so all of them are asked for before
-- anything is written. One question will do for a user who may do everything.
local function need_rights()
  if not redis.acl_check_cmd or redis.acl_check_cmd('CONFIG', 'GET', 'x') then return end
  -- Every command that a script runs: the rights that a user of Redis needs.
  local COMMANDS = {'DEL', 'EXISTS', 'HDEL', 'HEXISTS', 'HGET', 'HGETALL', 'HINCRBY', 'HMGET', 'HSCAN', 'HSET', 'LLEN',
    'LRANGE', 'LTRIM', 'MGET', 'PEXPIRE', 'RPUSH', 'RPUSHX', 'SADD', 'SCARD', 'SET', 'SISMEMBER', 'SMEMBERS', 'SREM', 'TIME', 'XADD',
    'XRANGE', 'XREVRANGE', 'ZADD', 'ZCARD', 'ZMSCORE', 'ZRANGE', 'ZRANK', 'ZREM', 'ZREVRANGE', 'ZREVRANK', 'ZSCAN',
    'ZSCORE'}
  for _, name in ipairs(COMMANDS) do
    if not redis.acl_check_cmd(name, KEYS[1]) then error({err = 'NOPERM this user may not run ' .. name}, 0) end
  end
end

-- Runs a verb once per request id: a repeat gets the first reply (ids and codes), and `view` reads what belongs to it.
-- The first write writes nothing, and is refused where no write is taken or memory is full. One that `frees` memory goes on
-- there: once a script has deleted something, Redis lets it write.
local function once(verb, view, accept, frees)
  return guarded(function(schema, kept)
    local request = key('req', ARGV[1])
    local reply
    if kept then
      reply = cjson.decode(kept)
      call('PEXPIRE', request, REPLY_KEPT_MS) -- a write: WAIT after a repeat waits for what the first call wrote
    else
      need_rights()
      if frees then call('DEL', prefix .. 'fence:1') else call('RPUSHX', prefix .. 'fence:1', '') end
      if not schema then call('HSET', KEYS[1], 'schema', SCHEMA, 'created_at', now) end
      reply = verb()
      if gathered then write_gathered() end
      if reply then call('SET', request, cjson.encode(reply), 'PX', REPLY_KEPT_MS) end
    end
    if view then return view(reply) end
    return reply
  end, accept)
end

-- Items ----------------------------------------------------------------------------------------------------------

local function find(id)
  local v = call('HMGET', key('item', id), 'project', 'state', 'agent', 'token', 'claim', 'live_token', 'attempts',
    'max_attempts', 'lease_ms', 'claim_lease_ms', 'priority', 'seq', 'not_before', 'blocker', 'started_at')
  if not v[1] then return nil end
  return {id = id, project = v[1], state = v[2], agent = v[3] or '', token = v[4] or '0', claim = v[5] or '',
    live_token = v[6] or '', attempts = tonumber(v[7] or 0), max_attempts = tonumber(v[8] or MAX_ATTEMPTS), lease_ms = v[9] or LEASE_MS,
    claim_lease_ms = v[10] or '', priority = v[11] or PRIORITY, seq = v[12], not_before = v[13] or '0', blocker = v[14] or '',
    started_at = v[15] or now}
end

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
  if state == 'in_progress' or state == 'blocked' then put(key('held', item.agent), item.id, now) end
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

-- Leases ---------------------------------------------------------------------------------------------------------

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

-- Retry later while attempts are left, else the dead letters.
local function retry_or_bury(item, retry)
  if retry and item.attempts < item.max_attempts then
    item.not_before = retry_at(item)
    move(item, 'delayed', item.not_before)
    wake(item.agent)
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
  if item.state == 'in_progress' or item.state == 'blocked' then held_by_another(item) end
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

-- Views ----------------------------------------------------------------------------------------------------------

local function newest_event()
  local newest = call('XREVRANGE', prefix .. 'events', '+', '-', 'COUNT', 1)[1]
  return newest and newest[1] or '0-0'
end

local function item_view(id)
  local fields = call('HGETALL', key('item', id))
  local runs = value_of(fields, 'state') == 'in_progress'
  return {id, fields, runs and call('ZSCORE', prefix .. 'leases', id) or ''}
end

-- Views of the items that are there; an id whose item has vanished is passed over.
local function item_views(ids)
  local views = {}
  for _, id in ipairs(ids) do
    local view = item_view(id)
    if #view[2] > 0 then table.insert(views, view) end
  end
  return views
end

local projects_read = {}

local function project_view(id)
  projects_read[id] = projects_read[id] or {id, call('HGETALL', key('project', id))}
  return projects_read[id]
end

local function package(id)
  local view = item_view(id)
  local project, depends_on = value_of(view[2], 'project'), value_of(view[2], 'depends_on')
  if not project then fail('NO_ITEM', {item = id}) end
  return {view, project_view(project), item_views(cjson.decode(depends_on or '[]')),
    call('XREVRANGE', key('progress', id), '+', '-', 'COUNT', 200)}
end
