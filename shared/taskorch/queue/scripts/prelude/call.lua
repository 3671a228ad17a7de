-- call: the prelude's first part, put in front of every script: its keys and caller,
--       errors, batched writes, and how a verb or a view runs.
-- KEYS     1 the namespace's meta key; every other key shares its prefix, and so its
--          slot
-- ARGV     1 request id (16 hex digits); behind it, ':' and the access token of a
--          gateway's client, '@' and a project if the caller is confined to it, and a '+'
--          in a repeat; the caller's 2 agent, and ',' and the name of each pool that it
--          takes items from, 3 host, 4 pid, 5 session, 6 version; the script's own from 7
-- RETURNS  what the script returns; times are ms since the epoch by this server's clock
-- ERRORS   SCHEMA {found, supported}, NOT_ALLOWED {reason}, TOKEN_REFUSED, QUOTA {access_token,
--          what, used, most, free_at}

local SCHEMA = '2'
-- The schemas that `upgrade` brings to this one: the one before, and a half upgraded one.
local OLDER = {['1'] = true, ['2 (upgrading)'] = true}
-- As long as a client may repeat: a command can be run again for 540 s after it gave up,
-- which it did within 60 s.
local REPLY_KEPT_MS = 600000
-- Defaults of an item: its hash leaves out fields that have these values.
local LEASE_MS, MAX_ATTEMPTS, PRIORITY = '14400000', 3, '2'
-- Leases reaped, and items promoted, by one claim, check or get.
local MAX_DUE = 10
-- Lua waits with its garbage until its memory has doubled (a pause of 200), and frees it within
-- a few calls, which then take some milliseconds more. Without a pause, and at half of its
-- usual pace (200), each call frees about what one call leaves.
local GARBAGE_PAUSE, GARBAGE_PACE = 100, 100
-- Values in one Redis command; Lua cannot unpack very many.
local CHUNK = 1000
local MAX_DEPENDENCIES = 1000
local MAX_AGENTS_SHOWN = 200
local REPORTS_KEPT, EVENTS_KEPT = 1000, 100000
local INDEX = {
  pending = 'unassigned', waiting = 'waiting', in_progress = 'leases',
  blocked = 'blocked', review = 'reviews', delayed = 'delayed', failed = 'dead',
}

-- This call --------------------------------------------------------------------------
-- Redis may load the prelude once for many calls. So a variable that a call changes is
-- one of these, and each call begins with all of them as `begin_call` sets them.

local call, arguments, meta, prefix, now, request, confined, is_repeat, caller
-- The user of Redis: whether it may do everything, and the roles that may run the script.
local user
-- What the call has done so far: its refusal, its batched writes, whether it recorded
-- the caller, the items that it handled of unfinished steps and whether some are left;
-- and what it has read: the views of projects, their newest discoveries, and packages
-- without their item; and the bytes of items, projects and reports.
local refusal, batch, caller_was_seen, handled, leaves_some, project_views, newest_read,
  rests_read, bytes_read

-- The counters of the namespace (`prelude/counters.lua`), and the newest hour that `hours` has.
local Counters = {}
-- The budgets of the namespace (`prelude/usage.lua`), and of this call which owners may have
-- some and those that it has read.
local Budget = {}

-- Begins a call of a script with its KEYS and ARGV, and the roles that may run it. A user
-- who may run CONFIG GET may do everything: one question is enough.
local function begin_call(keys, values, script, roles)
  local is_first_of_library = not user
  if is_first_of_library then
    collectgarbage('setpause', GARBAGE_PAUSE)
    collectgarbage('setstepmul', GARBAGE_PACE)
  end
  call, arguments, meta = redis.call, values, keys[1]
  prefix = string.sub(meta, 1, -#'meta' - 1)
  local clock = call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  local token, repeats = '', ''
  request, confined = values[1], ''
  local is_plain = not string.find(request, '%X')
  if not is_plain then
    request, token, confined, repeats = string.match(values[1],
      '^([^:@+]*):?([^@+]*)@?([^+]*)(%+?)$')
  end
  is_repeat = repeats ~= ''
  local agent, pools = values[2], nil
  if string.find(agent, ',', 1, true) then
    agent, pools = string.match(agent, '^([^,]*),(.*)$')
  end
  caller = {agent = agent, pool_names = pools, pools = {}, host = values[3], pid = values[4],
    session = values[5], version = values[6], script = script, access_token = token}
  if pools then
    for pool in string.gmatch(pools, '[^,]+') do table.insert(caller.pools, pool) end
  end
  local may_do_all = not redis.acl_check_cmd or redis.acl_check_cmd('CONFIG', 'GET', 'x')
  user = {may_do_all = may_do_all, needs_role_of = roles}
  refusal, batch, caller_was_seen = nil, nil, false
  handled, leaves_some = 0, false
  project_views, newest_read, rests_read, bytes_read = {}, {}, {}, 0
  Counters.hour = nil
  Budget.owners, Budget.known = nil, nil
end

local function key(kind, id) return prefix .. kind .. ':' .. id end

-- Errors -----------------------------------------------------------------------------

-- Ends the script with an error reply: a word and its details.
local function refuse(word, details)
  refusal = word .. ' ' .. cjson.encode(details)
  error({err = refusal}, 0)
end

-- Runs a step of another item than those of the call. Returns whether it was done: a key
-- that holds another type stops the step, and not the call.
local function survives(step, ...)
  local ok, failure = pcall(step, ...)
  if ok then return true end
  local reason = type(failure) == 'table' and failure.err or tostring(failure)
  if string.find(reason, 'WRONGTYPE', 1, true) then return false end
  error(failure, 0)
end

-- Batched writes ---------------------------------------------------------------------
-- A script of one item writes each change immediately. A script of several items
-- collects the changes of indexes, counts and wake lists after its guards, and `once`
-- writes them at the end with one command for each key. Until then a script does not
-- read any of these.

local function begin_batch(items)
  if #items > 1 then batch = {entries = {}, counts = {}, wakes = {}, counters = {}} end
end

local function put(index, id, score)
  if not batch then return call('ZADD', index, score, id) end
  batch.entries[index] = batch.entries[index] or {}
  batch.entries[index][id] = score
end

local function drop(index, id)
  if not batch then return call('ZREM', index, id) end
  put(index, id, false)
end

-- Adds to the count of items in a state that a project or an agent keeps.
local function add_to_count(owner, state, by)
  if not batch then
    local counted = redis.pcall('HINCRBY', owner, 'n_' .. state, by)
    local was_no_number = type(counted) == 'table'
    if was_no_number then call('HSET', owner, 'n_' .. state, math.max(by, 0)) end
    return
  end
  local states = batch.counts[owner] or {}
  batch.counts[owner] = states
  states[state] = (states[state] or 0) + by
end

-- Adds to a field of `counters`. A damaged one starts again.
function Counters.add(field, by)
  if batch then
    batch.counters[field] = (batch.counters[field] or 0) + by
    return
  end
  local sum = redis.pcall('HINCRBY', prefix .. 'counters', field, by)
  local is_damaged = type(sum) == 'table'
  if is_damaged then
    redis.pcall('HSET', prefix .. 'counters', field, by)
  elseif Counters.is_full(sum) then
    Counters.empty(field)
  end
end

-- Wakes a session that waits for an item of an owner: of an agent, or of a pool.
local function wake(owner)
  if batch then
    batch.wakes[owner] = (batch.wakes[owner] or 0) + 1
    return
  end
  local list = key('wake', owner)
  if call('LLEN', list) < 2 then call('RPUSH', list, '1') end
end

local function call_in_chunks(command, name, values)
  for from = 1, #values, CHUNK do
    call(command, name, unpack(values, from, math.min(from + CHUNK - 1, #values)))
  end
end

local function write_batch()
  local written = batch
  batch = nil
  for index, entries in pairs(written.entries) do
    local added, removed = {}, {}
    for id, score in pairs(entries) do
      if score then
        added[#added + 1] = score
        added[#added + 1] = id
      else
        removed[#removed + 1] = id
      end
    end
    call_in_chunks('ZADD', index, added)
    call_in_chunks('ZREM', index, removed)
  end
  for owner, states in pairs(written.counts) do
    for state, by in pairs(states) do
      if by ~= 0 then add_to_count(owner, state, by) end
    end
  end
  for field, by in pairs(written.counters) do Counters.add(field, by) end
  for owner, times in pairs(written.wakes) do
    for _ = 1, math.min(times, 2) do wake(owner) end
  end
end

-- How a script runs ------------------------------------------------------------------

-- What the user of Redis may do, in a table: Lua allows a script 200 local variables.
local Rights = {}

function Rights.need(command, name)
  if not redis.acl_check_cmd(command, name) then
    error({err = 'NOPERM this user may not run ' .. command .. ' on ' .. name}, 0)
  end
end

-- Refuses a call that the user, or the access token, may not make; a user who may read no
-- keys at all gets the error of Redis.
function Rights.refuse(reason)
  if not user.may_do_all then Rights.need('HGET', meta) end
  refuse('NOT_ALLOWED', {reason = reason})
end

-- Checks that the user may call under the caller's name, from the caller's pools, and in a
-- role that may run this script. Three kinds of keys that never exist say who a user is: it
-- has the right to read as:<name>, from:<pool> and role:<role>. The users of a whole namespace
-- have all of them.
function Rights.check_user()
  if user.may_do_all then return end
  if not redis.acl_check_cmd('HGET', key('as', caller.agent)) then
    Rights.refuse('it is for another name than ' .. caller.agent .. '.')
  end
  for _, pool in ipairs(caller.pools) do
    if not redis.acl_check_cmd('HGET', key('from', pool)) then
      Rights.refuse('it may not take items from the pool ' .. pool .. '.')
    end
  end
  for role in string.gmatch(user.needs_role_of, '%a+') do
    if redis.acl_check_cmd('HGET', key('role', role)) then return end
  end
  Rights.refuse('only these roles may do it: ' .. user.needs_role_of .. '.')
end

-- What the access token of a gateway's client allows; `clients.lua` has its functions.
local Access = {}

-- Checks the user, the access token and the schema version, and runs a view or a verb. A
-- script may `accept` other words in place of the schema version.
-- The fence is two keys that never exist. While a Cluster moves the slot key by key,
-- the node that has only some of the keys refuses to read them: nothing was written by
-- then. The reply kept for this request is read together with them.
local function run_checked(run, accept)
  Rights.check_user()
  local kept = call('MGET', prefix .. 'fence:1', prefix .. 'fence:2', key('req', request))[3]
  local of_namespace = call('HMGET', meta, 'schema', 'hour', 'budgets')
  local found = of_namespace[1]
  Counters.hour, Budget.owners = of_namespace[2], of_namespace[3]
  if found and found ~= SCHEMA and not (accept and accept[found]) then
    refuse('SCHEMA', {found = found, supported = SCHEMA})
  end
  Access.check()
  return run(found, kept)
end

-- Runs a view, or a verb for `once`, after the checks, and turns a refusal into an error reply.
local function guarded(run, accept)
  local ok, result = pcall(run_checked, run, accept)
  if ok then return result end
  Access.record_refusal()
  return redis.error_reply(type(result) == 'table' and result.err or tostring(result))
end

-- Redis checks a user's rights at each command, so a missing right could stop a script
-- half way. This asks for all of them before the first write: for every command, and for
-- a made-up key of every kind.
function Rights.check()
  if user.may_do_all then return end
  -- Every command that a script runs: the rights that a user of Redis needs.
  local COMMANDS = {
    'DEL', 'EXISTS', 'HDEL', 'HGET', 'HGETALL', 'HINCRBY', 'HMGET', 'HSCAN', 'HSET',
    'LLEN', 'LRANGE', 'LTRIM', 'MGET', 'PEXPIRE', 'RPUSH', 'RPUSHX', 'SADD', 'SCARD', 'SET',
    'SISMEMBER', 'SMEMBERS', 'SPOP', 'SREM', 'SSCAN', 'TIME', 'XADD', 'XRANGE', 'XREVRANGE', 'ZADD',
    'ZCARD', 'ZMSCORE', 'ZRANGE', 'ZRANK', 'ZREM', 'ZREVRANGE', 'ZREVRANK', 'ZSCAN', 'ZSCORE',
  }
  local KINDS = {
    'agent:x', 'agent:x:usage', 'agents', 'archive:x', 'blocked', 'budget_waiters', 'budgets',
    'counters', 'dead', 'delayed', 'dependents:x', 'deps:x', 'discoveries:x', 'events', 'fence:1',
    'found:x', 'held:x', 'hours', 'item:x', 'leases', 'members:x', 'meta', 'noted:x', 'open_items:x',
    'plans', 'pool:x', 'pools', 'progress:x', 'project:x', 'project:x:items', 'project:x:keys',
    'project:x:usage', 'projects', 'purged', 'questions', 'questions:x', 'queue:pool:x', 'queue:x',
    'readers:x', 'req:x',
    'reviews', 'satisfied:x', 'signals', 'unassigned', 'unfinished', 'usage', 'waiting',
    'wake:pool:x', 'wake:x',
  }
  -- The kinds that only scripts of an administrator write.
  local KINDS_OF_ADMINISTRATORS = {
    'access_token:x', 'access_token:x:agents', 'access_tokens', 'audit_log', 'damaged:x',
    'mirror:x', 'mirrors', 'notes:x:x', 'notified:x', 'notify:x',
  }
  for _, command in ipairs(COMMANDS) do Rights.need(command, meta) end
  -- HINCRBY needs the right to read a key and the right to write it.
  for _, kind in ipairs(KINDS) do Rights.need('HINCRBY', prefix .. kind) end
  if user.needs_role_of ~= 'admin' then return end
  for _, kind in ipairs(KINDS_OF_ADMINISTRATORS) do Rights.need('HINCRBY', prefix .. kind) end
end

local function keep_reply(reply)
  call('SET', key('req', request), cjson.encode(reply), 'PX', REPLY_KEPT_MS)
end

-- Runs a verb, if the access token has bytes left for it.
local function step(verb)
  Access.need_bytes()
  return verb()
end

-- Runs a verb for a repeat. The first copy of the request may still be on its way, and
-- must not act when it arrives: a refusal is kept like a reply, and so is a reply of
-- nothing, unless the verb returns that its request is unfinished.
local function run_repeat(verb)
  local ok, result, _, is_unfinished = pcall(step, verb)
  if ok then return result or false, is_unfinished end
  if refusal then keep_reply({refusal = refusal}) end
  error(result, 0)
end

-- Runs a verb once per request id. Its reply (ids and codes, never payloads) is kept,
-- and a repeat gets the same one; `read` adds what belongs to the reply as it is now.
-- The verb also returns whether its items carry the request: then the reply to a first
-- call is not kept, because a repeat of the verb finds it by the items.
-- The first write changes nothing, and fails if the server is read-only or out of
-- memory. A verb that `frees_memory` starts with a DEL instead: Redis lets a script
-- that has deleted something write even if memory is full. So does a repeat that `find`
-- has found the first reply for, on the items that carry the request.
local function once(verb, read, accept, frees_memory, find)
  caller.acts = true
  return guarded(function(schema, kept)
    local reply
    if kept then
      reply = cjson.decode(kept)
      -- A write, so that WAIT behind a repeat waits for what the first call wrote.
      call('PEXPIRE', key('req', request), REPLY_KEPT_MS)
      if type(reply) == 'table' and reply.refusal then error({err = reply.refusal}, 0) end
    else
      Rights.check()
      reply = is_repeat and find and find()
      if reply or frees_memory then
        call('DEL', prefix .. 'fence:1')
      else
        call('RPUSHX', prefix .. 'fence:1', '')
      end
      if not schema then call('HSET', meta, 'schema', SCHEMA, 'created_at', now) end
      local is_on_items, is_unfinished
      if is_repeat and not reply then
        reply, is_unfinished = run_repeat(verb)
      elseif not reply then
        reply, is_on_items = step(verb)
      end
      if batch then write_batch() end
      local is_kept = is_repeat and not is_unfinished
      if is_kept or (reply and not is_on_items) then keep_reply(reply) end
      Access.record(reply)
    end
    if read then return read(reply) end
    return reply
  end, accept)
end
