-- create: new items, all or none, in a project that is there or in a new one; a repeat of a key or id gets what is there.
-- KEYS     meta
-- ARGV     7 project, or 8 random digits for a new one, 8 title of a new one, 9 its description, 10 the key of its plan
--          or '', 11 '1' to write nothing, then for each item its digits or id, key, agent, priority, not before,
--          delay, dependencies as JSON or '', number n of words, then n words: field, value …
-- RETURNS  {project id, '' or 'repeat', {{item id, state, agent, '' or 'repeat', dead dependency, its state} ...}}
-- ERRORS   NO_PROJECT PROJECT_CLOSED NO_ITEM (a dependency, or the item of a key)
local FIRST = 12
local wanted, title, description, plan, dry = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11] ~= ''
local rows, states = {}, {} -- the reply; the states of the items that were there before, by id
local members, agents = {}, {} -- the dependents by their set, to be written with one call for each; the agents

local function is_whole(digits) return string.find(digits, '_', 1, true) end

-- The project's id and status, if it is there.
local function project_there()
  if is_whole(wanted) then return wanted, need_project(wanted) end
  local id = plan ~= '' and call('HGET', prefix .. 'plans', plan)
  local status = id and call('HGET', key('project', id), 'status')
  if status then return id, status end
end

local function item_there(project, new)
  local id = project and new.key ~= '' and call('HGET', key('project', project) .. ':keys', new.key)
  if id then return load(id) end
  if not is_whole(new.digits) then return nil end
  local there, wrong = find(new.digits)
  if wrong then no_item(new.digits, wrong) end
  return there
end

-- The id of a dependency: a number is the place of an item in this call, from 0; '' while that item is not there yet.
local function named(dependency)
  return type(dependency) == 'number' and rows[dependency + 1][1] or dependency
end

local function known_state(id)
  states[id] = states[id] or state_of(id) or no_item(id)
  return states[id]
end

-- The item whose arguments begin at `at`, and where those of the next one begin.
local function item_at(at)
  local new = {digits = ARGV[at], key = ARGV[at + 1], agent = ARGV[at + 2], priority = ARGV[at + 3],
    not_before = tonumber(ARGV[at + 4]), delay = tonumber(ARGV[at + 5]), fields = at + 8, last = at + 7 + ARGV[at + 7]}
  if ARGV[at + 6] ~= '' then new.depends_on = cjson.decode(ARGV[at + 6]) end
  return new, new.last + 1
end

-- What becomes of an item of the call, if all the others can be created too.
local function checked(project, status, new)
  local there = item_there(project, new)
  if there then
    states[there.id] = there.state
    return {there.id, there.state, there.agent, 'repeat', '', ''}
  end
  if status == 'completed' then fail('PROJECT_CLOSED', {project = project}) end
  local row = {'', '', new.agent, '', '', ''}
  for _, dependency in ipairs(new.depends_on or {}) do
    local id = named(dependency)
    local state = id ~= '' and known_state(id)
    if row[5] == '' and (state == 'failed' or state == 'cancelled') then row[5], row[6] = id, state end
  end
  return row
end

local function append(lists, name, value)
  local list = lists[name]
  if list then list[#list + 1] = value else lists[name] = {value} end
end

-- Each dependency counts once, whether by its id or by its place. Returns how many are open, and so waited for.
local function depend(id, dependencies)
  local all, open, seen = {}, {}, {}
  for _, dependency in ipairs(dependencies) do
    local other = named(dependency)
    if not seen[other] then
      seen[other] = true
      table.insert(all, other)
      local is_open = states[other] ~= 'completed'
      if is_open then table.insert(open, other) end
      append(members, key(is_open and 'dependents' or 'satisfied', other), id)
    end
  end
  call('HSET', key('item', id), 'depends_on', cjson.encode(all))
  call_with('SADD', key('deps', id), open)
  return #open
end

local function create(project, new, seq)
  local item = {id = new_id('item', new.digits), project = project, agent = new.agent, priority = new.priority, seq = seq,
    new = true, not_before = new.delay > 0 and now + new.delay or new.not_before}
  local assigned = new.agent ~= ''
  enter(item, placed(item, new.depends_on and depend(item.id, new.depends_on) or 0))
  put(key('project', project) .. ':items', item.id, seq)
  if assigned then agents[new.agent] = true end
  if is_awaited(item.state) then wake(item.agent) end
  if new.key ~= '' then call('HSET', key('project', project) .. ':keys', new.key, item.id) end
  emit('create', item, 'project', project, 'agent', new.agent, 'seq', seq, 'created_at', now,
    'assigned_at', assigned and now or '', 'assigned_by', assigned and me.agent or '',
    unpack(ARGV, new.fields, new.last))
  if item.priority ~= PRIORITY then call('HSET', key('item', item.id), 'priority', item.priority) end
  if item.not_before > 0 then call('HSET', key('item', item.id), 'not_before', item.not_before) end
  return item
end

local function write_all()
  for dependents, ids in pairs(members) do call_with('SADD', dependents, ids) end
  for agent in pairs(agents) do call('ZADD', prefix .. 'agents', 'NX', 0, agent) end
end

local function apply()
  local project, status = project_there()
  local news, missing = {}, 0
  local at, new = FIRST, nil
  while at <= #ARGV do
    new, at = item_at(at)
    table.insert(news, new)
    table.insert(rows, checked(project, status, new))
    if rows[#rows][4] == '' then missing = missing + 1 end
  end
  local remark = project and 'repeat' or ''
  if dry then return {project or '', remark, rows} end

  if not project then
    project = open_project(new_id('project', wanted), title, description, now)
    if plan ~= '' then
      call('HSET', prefix .. 'plans', plan, project)
      call('HSET', key('project', project), 'plan', plan)
    end
  end
  gather(news)
  local seq = missing > 0 and next_sequence(missing) - missing
  for i, new in ipairs(news) do
    if rows[i][4] == '' then
      seq = seq + 1
      local item = create(project, new, seq)
      rows[i][1], rows[i][2] = item.id, item.state
    end
  end
  write_all()
  return {project, remark, rows}
end

if dry then return guarded(apply) end
return once(apply)
