-- audit: compares a part of the items with what stands beside them, and mends that if told to; the item is right.
-- KEYS     meta
-- ARGV     7 cursor or '', 8 how many items and dependencies at most, 9 '1' to mend what is wrong
-- RETURNS  {next cursor or '', newest event's id, {finding …}, {owner, state, number …}, {{item, dependency, state} …}}
-- ERRORS   NO_PROJECT (the cursor's, which is gone meanwhile)
local STEP = 100
local limit, mend = tonumber(ARGV[8]), ARGV[9] == '1'
local findings, counts, waits, known, visited = {}, {}, {}, {}, 0

local function found(id, word, detail) table.insert(findings, {id, word, detail}) end

local function add_to(owner, state)
  local of = owner .. ' ' .. state
  counts[of] = (counts[of] or 0) + 1
end

-- A project whose hash is gone gets one that can be read; its texts are lost.
local function check_project(id)
  counts['project:' .. id .. ' '] = 0
  if not is_id('proj', id) then
    found(id, 'damaged', 'id')
    if mend then
      set_aside('project', id, 'id')
      call('ZREM', prefix .. 'projects', id)
    end
    return
  end
  if call('HEXISTS', key('project', id), 'status') == 1 then return end
  found(id, 'lost', 'the project is gone, its items are there')
  if mend then
    call('HSET', key('project', id), 'title', id, 'description', '', 'status', 'active', 'orchestrator', me.agent,
      'created_at', call('ZSCORE', prefix .. 'projects', id))
  end
end

local function check_agent(item)
  if item.agent == '' or known[item.agent] then return end
  known[item.agent] = true
  if call('ZSCORE', prefix .. 'agents', item.agent) then return end
  found(item.agent, 'agent', 'has items, and is not among the agents')
  if mend then call('ZADD', prefix .. 'agents', 'NX', 0, item.agent) end
end

-- Whether the set has the member if and only if it should.
local function is_right(set, member, should)
  if call('SISMEMBER', set, member) == (should and 1 or 0) then return true end
  if mend then call(should and 'SADD' or 'SREM', set, member) end
  return false
end

-- An open dependency stands with both items, a completed one with itself; one that the item does not name, or that is gone,
-- with neither. Returns the state of one that is open.
local function check_dependency(item, id, named)
  visited = visited + 1
  local state = state_of(id)
  local open, done = named and state and state ~= 'completed', named and state == 'completed'
  local there = is_right(key('deps', item.id), id, open)
  there = is_right(key('dependents', id), item.id, open) and there
  there = is_right(key('satisfied', id), item.id, done) and there
  if not there then found(item.id, 'dependency', id .. (state and ' is ' .. state or ' is gone')) end
  return open and state
end

-- Returns the dependencies that are open, with their states.
local function open_dependencies(item)
  local named, open = {}, {}
  for _, id in ipairs(ids_of(call('HGET', key('item', item.id), 'depends_on'))) do named[id] = true end
  for _, id in ipairs(call('SMEMBERS', key('deps', item.id))) do named[id] = named[id] or false end
  for id, is_named in pairs(named) do
    local state = check_dependency(item, id, is_named)
    if state then table.insert(open, {item.id, id, state}) end
  end
  return open
end

local function check_dependencies(item)
  local open = open_dependencies(item)
  local ready = item.state == 'queued' or item.state == 'delayed'
  if (item.state == 'waiting' and #open == 0) or (ready and #open > 0) then
    found(item.id, 'state', item.state .. (ready and ', and a dependency is open' or ', and no dependency is open'))
    if mend then
      leave(item)
      place(item)
      emit('mend', item)
    end
  end
  if item.state == 'waiting' then
    for _, dependency in ipairs(open) do table.insert(waits, dependency) end
  end
end

-- Where an order is kept the entry has one right score; elsewhere any will do, and a lost lease is a full one again.
local function check_index(item)
  local to = index(item)
  if not to then return end
  local score = call('ZSCORE', to, item.id)
  local right = (item.state == 'queued' and rank(item)) or (item.state == 'delayed' and tonumber(item.not_before))
    or (item.state == 'pending' and tonumber(item.seq))
  if score and (not right or tonumber(score) == right) then return end
  found(item.id, 'index', item.state .. (score and ', out of place in ' or ', not in ') .. string.sub(to, #prefix + 1))
  if not mend then return end
  call('ZADD', to, right or (item.state == 'in_progress' and now + item.claim_lease_ms) or now, item.id)
  if item.state == 'queued' or item.state == 'delayed' then wake(item.agent) end
end

local function check_held(item)
  if not is_held(item) then return end
  if call('ZSCORE', key('held', item.agent), item.id) then return end
  found(item.id, 'index', item.state .. ', not in held:' .. item.agent)
  if mend then call('ZADD', key('held', item.agent), call('HGET', key('item', item.id), 'holder_since') or now, item.id) end
end

local function check(project, id)
  local item, wrong = find(id)
  if wrong then
    found(id, 'damaged', wrong)
    if mend then
      set_aside('item', id, wrong)
      call('ZREM', key('project', project) .. ':items', id)
    end
    return
  end
  if not item or item.project ~= project then
    found(id, 'listed', (item and 'not an item of ' or 'gone, and still listed in ') .. project)
    if mend then call('ZREM', key('project', project) .. ':items', id) end
    if mend and item then call('ZADD', key('project', item.project) .. ':items', 'NX', item.seq, id) end
    return
  end
  check_agent(item)
  check_dependencies(item)
  check_index(item)
  check_held(item)
  add_to('project:' .. project, item.state)
  if item.agent ~= '' then add_to('agent:' .. item.agent, item.state) end
end

-- Looks at the items of one project, after a sequence number; returns where it had to stop, or nil at the end.
local function walk(project, after)
  check_project(project)
  visited = visited + 1
  while true do
    local page = call('ZRANGE', key('project', project) .. ':items', '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0, STEP,
      'WITHSCORES')
    for i = 1, #page, 2 do
      if visited >= limit then return after end
      visited, after = visited + 1, page[i + 1]
      check(project, page[i])
    end
    if #page < 2 * STEP then return nil end
  end
end

local function audited()
  local newest = newest_event()
  local project, after = string.match(ARGV[7], '^(.*):(%d+)$')
  local position, cursor = 0, ''
  if project then
    position = call('ZRANK', prefix .. 'projects', project) or fail('NO_PROJECT', {project = project})
  end
  while cursor == '' do
    project = call('ZRANGE', prefix .. 'projects', position, position)[1]
    if not project then break end
    local stop = visited >= limit and '0' or walk(project, after or '0')
    if stop then cursor = project .. ':' .. stop end
    position, after = position + 1, nil
  end
  local numbers = {}
  for of, n in pairs(counts) do
    local owner, state = string.match(of, '^(.*) (.*)$')
    for _, value in ipairs({owner, state, n}) do table.insert(numbers, value) end
  end
  return {cursor, newest, findings, numbers, waits}
end

if not mend then return guarded(audited) end
local reply
return once(function()
  reply = audited()
  return #findings > 0 and findings -- what was mended is kept for a repeat, and no more
end, function(mended)
  reply = reply or audited()
  return {reply[1], reply[2], mended or {}, reply[4], reply[5]}
end)
