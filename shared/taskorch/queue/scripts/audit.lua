-- audit: compares some of the items with the indexes, sets and lists that name them,
--        and repairs what differs if it is asked to. The hash of the item is right.
-- KEYS     meta
-- ARGV     7 cursor or '', 8 maximum number of items and dependencies, 9 '1' to repair
-- RETURNS  {next cursor or '', newest event's id, {finding …}, {owner, state or field of
--          the usage, number …}, {{item, dependency, state, '1' if a requeue of a dead
--          dependency has to reopen its project, else ''} …}}
-- ERRORS   NO_PROJECT (the cursor's was purged)
local STEP = 100
local limit, repair = tonumber(ARGV[8]), ARGV[9] == '1'
local findings, counts, waits, known_agents, known_pools, visited = {}, {}, {}, {}, {}, 0

local function count(owner, what, number)
  local counted = owner .. ' ' .. what
  counts[counted] = (counts[counted] or 0) + number
end

local function found(id, word, detail) table.insert(findings, {id, word, detail}) end

-- Open items of a project that is closing are cancelled by later calls, which find it
-- here.
local function check_closing(id)
  local entry = 'close:' .. id
  if call('ZSCORE', prefix .. 'unfinished', entry) then return end
  found(id, 'index', 'closing, not in unfinished')
  if repair then call('ZADD', prefix .. 'unfinished', now, entry) end
end

-- A project whose hash is missing gets a new one; its texts are lost.
local function check_project(id)
  counts['project:' .. id .. ' '] = 0
  if not is_id('proj', id) then
    found(id, 'damaged', 'id')
    if repair then
      quarantine('project', id, 'id')
      call('ZREM', prefix .. 'projects', id)
    end
    return
  end
  local status = read_hash('project', id, 'HGET', 'status')
  if status == nil then return found(id, 'damaged', 'key') end
  if status == 'closing' then check_closing(id) end
  if status then return end
  found(id, 'lost', 'the project is missing, but its items exist')
  if repair then
    call('HSET', key('project', id), 'title', id, 'description', '', 'status', 'active',
      'orchestrator', caller.agent, 'created_at', call('ZSCORE', prefix .. 'projects', id))
  end
end

local function check_agent(item)
  if item.agent == '' or known_agents[item.agent] then return end
  known_agents[item.agent] = true
  if call('ZSCORE', prefix .. 'agents', item.agent) then return end
  found(item.agent, 'agent', 'has items, but is not among the agents')
  if repair then add_agent(item.agent) end
end

local function check_pool(item)
  if item.pool == '' or known_pools[item.pool] then return end
  known_pools[item.pool] = true
  if call('ZSCORE', prefix .. 'pools', item.pool) then return end
  found(item.pool, 'pool', 'has items, but is not among the pools')
  if repair then add_pool(item.pool) end
end

-- Returns whether the set has the member exactly if it should.
local function is_right(set, member, should)
  if call('SISMEMBER', set, member) == (should and 1 or 0) then return true end
  if repair then call(should and 'SADD' or 'SREM', set, member) end
  return false
end

-- Returns whether an item still waits for a completed one, until a later call releases it.
local function is_unreleased(item, id)
  local is_noted = call('ZSCORE', prefix .. 'unfinished', 'release:' .. id)
  return is_noted and call('SISMEMBER', key('dependents', id), item.id) == 1
end

-- An open dependency is in a set of either item, a completed one in a set of its own,
-- as soon as it has released the item. One that does not exist, or that the item does not
-- name, is in none. Returns the state of an open one.
local function check_dependency(item, id, is_named, is_in_deps)
  visited = visited + 1
  local state = state_of(id)
  local is_over = state == 'completed' and not is_unreleased(item, id)
  local is_open = is_named and state and not is_over
  local is_completed = is_named and is_over
  local deps_right = is_in_deps == (is_open and true or false)
  if repair and not deps_right then
    call(is_open and 'SADD' or 'SREM', key('deps', item.id), id)
  end
  local dependents_right = is_right(key('dependents', id), item.id, is_open)
  local satisfied_right = is_right(key('satisfied', id), item.id, is_completed)
  if not (deps_right and dependents_right and satisfied_right) then
    found(item.id, 'dependency', id .. (state and ' is ' .. state or ' does not exist'))
  end
  return is_open and state
end

-- Returns {item, dependency, state, '1' or ''} of each open dependency.
local function open_dependencies(item)
  local named, in_deps, open = {}, {}, {}
  for _, id in ipairs(parse_ids(call('HGET', key('item', item.id), 'depends_on'))) do
    named[id] = true
  end
  for _, id in ipairs(call('SMEMBERS', key('deps', item.id))) do
    named[id] = named[id] or false
    in_deps[id] = true
  end
  for id, is_named in pairs(named) do
    local state = check_dependency(item, id, is_named, in_deps[id] or false)
    local is_dead = state == 'failed' or state == 'cancelled'
    if state then
      table.insert(open, {item.id, id, state, is_dead and Project.reopens(id) or ''})
    end
  end
  return open
end

local function check_dependencies(item)
  local open = open_dependencies(item)
  local wrongly_waits = item.state == 'waiting' and #open == 0
  local is_ready = item.state == 'queued' or item.state == 'delayed'
  local wrongly_ready = is_ready and #open > 0
  if wrongly_waits or wrongly_ready then
    local number = wrongly_waits and 'no' or 'a'
    found(item.id, 'state', item.state .. ', but ' .. number .. ' dependency is open')
    if repair then
      remove_from_index(item)
      enqueue_or_wait(item)
      emit('mend', item)
    end
  end
  if item.state == 'waiting' then
    for _, dependency in ipairs(open) do table.insert(waits, dependency) end
  end
end

-- Returns the score that keeps the order of an index; nil if the index has no order to
-- keep.
local function right_score(item)
  if item.state == 'queued' then return rank(item) end
  if item.state == 'delayed' then return tonumber(item.not_before) end
  if item.state == 'pending' then return tonumber(item.seq) end
end

-- An item in progress without a lease gets a full one.
local function check_index(item)
  local index = index_of(item)
  if not index then return end
  local score, right = call('ZSCORE', index, item.id), right_score(item)
  if score and (not right or tonumber(score) == right) then return end
  local difference = score and ', out of place in ' or ', not in '
  found(item.id, 'index', item.state .. difference .. string.sub(index, #prefix + 1))
  if not repair then return end
  local full_lease = item.state == 'in_progress' and now + item.claim_lease_ms
  call('ZADD', index, right or full_lease or now, item.id)
  if wakes_agent(item.state) then wake(item.owner) end
end

local function check_held(item)
  if not is_held(item) then return end
  local held = key('held', item.agent)
  if call('ZSCORE', held, item.id) then return end
  found(item.id, 'index', item.state .. ', not in held:' .. item.agent)
  if repair then
    local _, _, _, since = holder_of(item.id)
    call('ZADD', held, is_number(since) and since or now, item.id)
  end
end

-- The hash of the item has its open questions, and two indexes list it. An older
-- version listed only its blocked items, in their own index.
local function check_question_indexes(item, questions)
  if item.blocker ~= '' and item.state == 'blocked' then return end
  local is_asking = #questions > 0
  local is_right = #item.open == #questions
  for _, index in ipairs({Question.indexes(item)}) do
    local is_listed = call('ZSCORE', index, item.id) and true or false
    is_right = is_right and is_listed == is_asking
  end
  if is_right then return end
  local has = is_asking and 'an open question, not' or 'no open question, but'
  found(item.id, 'index', has .. ' in questions')
  if repair then Question.write(item, questions) end
end

local function check_questions(item)
  local questions = Question.read(item)
  check_question_indexes(item, questions)
  if item.state ~= 'blocked' or #questions > 0 then return end
  found(item.id, 'state', 'blocked, but no question is open')
  if not repair then return end
  if item.live_token == '' then
    Lease.give_back(item)
  else
    Lease.set_in_progress(item)
  end
  emit('mend', item)
end

local function remove_damaged(items, id, field)
  found(id, 'damaged', field)
  if repair then
    quarantine('item', id, field)
    call('ZREM', items, id)
  end
end

-- The item does not exist, or it belongs to another project.
local function remove_listed(items, project, id, item)
  found(id, 'listed', (item and 'not an item of ' or 'missing, but listed in ') .. project)
  if not repair then return end
  call('ZREM', items, id)
  if item then call('ZADD', key('project', item.project) .. ':items', 'NX', item.seq, id) end
end

local function check(project, id)
  local items = key('project', project) .. ':items'
  local item, damaged = find_item(id)
  if damaged then return remove_damaged(items, id, damaged) end
  if not item or item.project ~= project then return remove_listed(items, project, id, item) end
  check_agent(item)
  check_pool(item)
  check_dependencies(item)
  check_index(item)
  check_held(item)
  check_questions(item)
  count('project:' .. project, item.state, 1)
  local pool = Owner.pool_of(item.owner)
  if item.owner ~= '' then count(pool and item.owner or 'agent:' .. item.agent, item.state, 1) end
  for place, used in ipairs(Usage.of_item(id)) do
    if used > 0 then count('project:' .. project, Usage.FIELDS[place], used) end
  end
end

-- The index of a project's open questions may have items that do not exist, or that
-- belong to another project. The other entries are checked with their items.
local function check_listed_questions(project)
  local index = key('questions', project)
  for _, id in ipairs(call('ZRANGE', index, 0, limit - 1)) do
    local item = find_item(id)
    if not item or item.project ~= project then
      local state = item and item.state or 'missing'
      found(id, 'index', state .. ', but still in questions:' .. project)
      if repair then call('ZREM', index, id) end
    end
  end
end

-- Checks the items of one project after a sequence number. Returns the number at which
-- it stopped, or nil at the end of the project.
local function check_items(project, after)
  check_project(project)
  if after == '0' and not survives(check_listed_questions, project) then
    found(project, 'damaged', 'questions:' .. project)
  end
  visited = visited + 1
  while true do
    local page = read_hash('project', project .. ':items', 'ZRANGE', '(' .. after, '+inf', 'BYSCORE',
      'LIMIT', 0, STEP, 'WITHSCORES')
    if not page then
      found(project, 'damaged', 'project:' .. project .. ':items')
      return nil
    end
    for i = 1, #page, 2 do
      if visited >= limit then return after end
      visited, after = visited + 1, page[i + 1]
      if not survives(check, project, page[i]) then
        found(page[i], 'damaged', 'one of its keys holds another type')
      end
    end
    if #page < 2 * STEP then return nil end
  end
end

-- Checks projects from the cursor on until the limit. Returns the next cursor, '' at
-- the end.
local function check_projects()
  local position = 0
  local project, after = string.match(ARGV[7], '^(.*):(%d+)$')
  if project then
    position = call('ZRANK', prefix .. 'projects', project)
    if not position then refuse('NO_PROJECT', {project = project}) end
  end
  while true do
    project = call('ZRANGE', prefix .. 'projects', position, position)[1]
    if not project then return '' end
    local stopped_at = visited >= limit and '0' or check_items(project, after or '0')
    if stopped_at then return project .. ':' .. stopped_at end
    position, after = position + 1, nil
  end
end

local function audited()
  local newest = View.newest_event()
  local cursor = check_projects()
  local numbers = {}
  for counted, number in pairs(counts) do
    local owner, state = string.match(counted, '^(.*) (.*)$')
    table.insert(numbers, owner)
    table.insert(numbers, state)
    table.insert(numbers, string.format('%d', number))
  end
  return {cursor, newest, findings, numbers, waits}
end

if not repair then return guarded(audited) end
local reply
-- Only what was repaired is kept for a repeat.
return once(function()
  reply = audited()
  return #findings > 0 and findings
end, function(repaired)
  reply = reply or audited()
  return {reply[1], reply[2], repaired or {}, reply[4], reply[5]}
end)
