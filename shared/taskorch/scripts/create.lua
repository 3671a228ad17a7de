-- create: new items, all or none, in a project that is there or in a new one; a repeat of a key or id gets what is there.
-- KEYS     meta
-- ARGV     7 project, or 8 random digits for a new one, 8 title of a new one, 9 its description, 10 the key of its plan
--          or '', 11 '1' to write nothing, then for each item a JSON document
-- RETURNS  {project id, '' or 'repeat', {{item id, state, agent, '' or 'repeat', dead dependency, its state} ...}}
-- ERRORS   NO_PROJECT PROJECT_CLOSED NO_ITEM (a dependency, or the item of a key)
local FIRST = 12
local wanted, title, description, plan, dry = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11] ~= ''
local rows, states = {}, {} -- the reply; the states of the items that were there before, by id

local function is_id(digits) return string.find(digits, '_', 1, true) end

local function project_there()
  if is_id(wanted) then
    need_project(wanted)
    return wanted
  end
  local id = plan ~= '' and call('HGET', prefix .. 'plans', plan)
  return id and call('EXISTS', key('project', id)) == 1 and id
end

local function item_there(project, new)
  local id = project and new.key ~= '' and call('HGET', key('project', project) .. ':keys', new.key)
  if id then return load(id) end
  return is_id(new.digits) and find(new.digits)
end

-- The id of a dependency: a number is the place of an item in this call, from 0; '' while that item is not there yet.
local function named(dependency)
  return type(dependency) == 'number' and rows[dependency + 1][1] or dependency
end

local function state_of(id)
  states[id] = states[id] or load(id).state
  return states[id]
end

-- What becomes of an item of the call, if all the others can be created too.
local function checked(project, new)
  local there = item_there(project, new)
  if there then
    states[there.id] = there.state
    return {there.id, there.state, there.agent, 'repeat', '', ''}
  end
  if project then need_open_project(project) end
  local row = {'', '', new.agent, '', '', ''}
  for _, dependency in ipairs(new.depends_on) do
    local id = named(dependency)
    local state = id ~= '' and state_of(id)
    if row[5] == '' and (state == 'failed' or state == 'cancelled') then row[5], row[6] = id, state end
  end
  return row
end

-- Every dependency once, and those of them that are open.
local function dependencies(new)
  local all, open, seen = {}, {}, {}
  for _, dependency in ipairs(new.depends_on) do
    local id = named(dependency)
    if not seen[id] then
      seen[id] = true
      table.insert(all, id)
      if states[id] ~= 'completed' then table.insert(open, id) end
    end
  end
  return all, open
end

local function create(project, new)
  local depends_on, open = dependencies(new)
  local item = {id = new_id('item', new.digits), project = project, agent = new.agent, priority = new.priority,
    seq = next_sequence(), not_before = new.delay > 0 and now + new.delay or new.not_before}
  set(item, 'project', project, 'agent', new.agent, 'token', 0, 'attempts', 0, 'seq', item.seq,
    'priority', item.priority, 'not_before', item.not_before, 'created_at', now, unpack(new.fields))
  if new.agent ~= '' then
    set(item, 'assigned_at', now, 'assigned_by', me.agent)
    call('ZADD', prefix .. 'agents', 'NX', 0, new.agent)
  end
  if #depends_on > 0 then set(item, 'depends_on', cjson.encode(depends_on)) end
  if #open > 0 then call('SADD', key('deps', item.id), unpack(open)) end
  for _, id in ipairs(open) do call('SADD', key('dependents', id), item.id) end
  call('ZADD', key('project', project) .. ':items', item.seq, item.id)
  if new.key ~= '' then call('HSET', key('project', project) .. ':keys', new.key, item.id) end
  place(item)
  emit('create', item)
  return item
end

local function apply()
  local project, news = project_there(), {}
  for i = FIRST, #ARGV do
    local new = cjson.decode(ARGV[i])
    table.insert(news, new)
    table.insert(rows, checked(project, new))
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
  for i, new in ipairs(news) do
    if rows[i][4] == '' then
      local item = create(project, new)
      rows[i][1], rows[i][2] = item.id, item.state
    end
  end
  return {project, remark, rows}
end

if dry then return guarded(apply) end
return once(apply)
