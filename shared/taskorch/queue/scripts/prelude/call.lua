-- The beginning of the text in front of every script: its keys, its caller, errors, gathered moves, how a verb runs.
-- KEYS     1 the namespace's meta key; every other key shares its prefix, so a call stays in one slot
-- ARGV     1 request id (16 hex digits); the caller's 2 agent, 3 host, 4 pid, 5 session, 6 version; a verb's own from 7
-- RETURNS  what the verb returns; times are ms since the epoch by the clock of this server
-- ERRORS   SCHEMA {found, supported}

local SCHEMA = '1'
local REPLY_KEPT_MS = 600000
local LEASE_MS, MAX_ATTEMPTS, PRIORITY = '14400000', 3, '2' -- an item's own, where its hash does not say otherwise
local BATCH = 10
local AT_ONCE = 1000 -- values of a call
local MOST_DEPENDENCIES = 1000
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
  if not gathered then
    local done = redis.pcall('HINCRBY', owner, 'n_' .. state, by)
    if type(done) == 'table' then call('HSET', owner, 'n_' .. state, math.max(by, 0)) end -- what was there is no number
    return
  end
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
    'LRANGE', 'LTRIM', 'MGET', 'PEXPIRE', 'RPUSH', 'RPUSHX', 'SADD', 'SCARD', 'SET', 'SISMEMBER', 'SMEMBERS', 'SPOP', 'SREM', 'TIME',
    'XADD',    'XRANGE', 'XREVRANGE', 'ZADD', 'ZCARD', 'ZMSCORE', 'ZRANGE', 'ZRANK', 'ZREM', 'ZREVRANGE', 'ZREVRANK', 'ZSCAN',
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
