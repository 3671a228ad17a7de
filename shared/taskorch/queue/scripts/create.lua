-- create: creates items, all or none, in an existing project or in a new one. A repeat
--         of a key or an id gets the existing item, and may edit it in the same step.
-- KEYS     meta
-- ARGV     7 project, or 8 random digits for a new one, 8 title of a new one, 9 its
--          description, 10 key of its plan or '', 11 '1' for a dry run, 12 '1' to edit
--          existing items, then for each item its digits or id, key, agent or 'pool:' and
--          its pool, priority, not before, delay, dependencies as JSON or '', number n of
--          words, then n words: field, value …
-- RETURNS  {project id, '' or 'repeat', {{item id, state, agent, '' or 'repeat', dead
--          dependency, its state, {{field, before, after} …}, {{field that cannot
--          change, before, after} …}, '1' if a requeue of a repeat has to reopen its
--          project, else '', pool or ''} …}, {agent that the namespace did not know …}, {the
--          other agents then, the last callers first}, {pool of new items from which no agent
--          takes items …}}; a repeat has only the names of what cannot change
-- ERRORS   NO_PROJECT PROJECT_CLOSED NO_ITEM (a dependency, or the item of a key)
--          TOO_LARGE, and of edits CYCLE TOO_DEEP TOO_MANY
local FIRST = 13
local wanted, title, description, plan, dry = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11] ~= ''
local edits_existing = ARGV[12] ~= ''
-- The rows of the reply, and the states of items that existed before, by id.
local rows, states = {}, {}
-- Existing items and their edits, by their row.
local existing_items, edits = {}, {}
-- Dependents by their set: they are written at the end, with one command each.
local members = {}
local is_sized = editing.set_of(SIZED)

local function is_whole_id(digits) return string.find(digits, '_', 1, true) end

-- Returns the project's id and status, or nil if it does not exist.
local function find_project()
  if is_whole_id(wanted) then return wanted, Project.need(wanted) end
  if confined ~= '' then refuse('NO_PROJECT', {project = wanted}) end
  local id = plan ~= '' and call('HGET', prefix .. 'plans', plan)
  local status = id and call('HGET', key('project', id), 'status')
  if status then return id, status end
end

-- Returns the item that an earlier call created with the same key or id.
local function find_existing(project, new)
  local has_key = project and new.key ~= ''
  local id = has_key and call('HGET', key('project', project) .. ':keys', new.key)
  if id then return need_item(id) end
  if not is_whole_id(new.digits) then return nil end
  local item, damaged = find_item(new.digits)
  if damaged then refuse_no_item(new.digits, damaged) end
  scope.refuse_foreign_item(new.digits)
  return item
end

-- Returns the id of a dependency. A number is the place of an item in this call, from
-- 0; its id is '' as long as that item is not created.
local function dependency_id(dependency)
  if type(dependency) == 'number' then return rows[dependency + 1][1] end
  return dependency
end

local function need_state(id)
  scope.refuse_foreign_item(id)
  states[id] = states[id] or state_of(id) or refuse_no_item(id)
  return states[id]
end

-- Returns the item whose arguments begin at `at`, and where those of the next one
-- begin.
local function parse_item(at)
  local new = {
    digits = ARGV[at], key = ARGV[at + 1], owner = ARGV[at + 2], priority = ARGV[at + 3],
    not_before = tonumber(ARGV[at + 4]), delay = tonumber(ARGV[at + 5]),
    first_word = at + 8, last_word = at + 7 + ARGV[at + 7],
  }
  new.pool = Owner.pool_of(new.owner) or ''
  new.agent = new.pool == '' and new.owner or ''
  if ARGV[at + 6] ~= '' then new.depends_on = cjson.decode(ARGV[at + 6]) end
  return new, new.last_word + 1
end

-- Returns the bytes of a new item, as `refuse_growth` counts them.
local function bytes_of_new(new)
  local bytes = 0
  for i = new.first_word, new.last_word, 2 do
    if is_sized[ARGV[i]] then bytes = bytes + #ARGV[i + 1] end
  end
  return bytes
end

-- Returns the row of an item before it is created: with an id only if it exists.
local function check(project, status, new)
  local existing = find_existing(project, new)
  if existing then
    states[existing.id] = existing.state
    existing_items[#rows + 1] = existing
    return {existing.id, existing.state, existing.agent, 'repeat', '', '', '', {},
      existing.pool}
  end
  if project and status ~= 'active' then refuse('PROJECT_CLOSED', {project = project}) end
  refuse_over(new.key, bytes_of_new(new))
  local dead, dead_state = '', ''
  for _, dependency in ipairs(new.depends_on or {}) do
    local id = dependency_id(dependency)
    local state = id ~= '' and need_state(id)
    local is_dead = state == 'failed' or state == 'cancelled'
    if is_dead and dead == '' then dead, dead_state = id, state end
  end
  return {'', '', new.agent, '', dead, dead_state, '', {}, new.pool}
end

-- Returns what an item depends on, each once: ids, and places of items that are not
-- created yet.
local function dependencies_now(new)
  local all, is_known = {}, {}
  for _, dependency in ipairs(new.depends_on or {}) do
    local id = dependency_id(dependency)
    if id == '' then id = dependency else need_state(id) end
    if not is_known[id] then table.insert(all, id) end
    is_known[id] = true
  end
  return all
end

-- Returns what a plan says of an item, as an edit takes it. Context and resources are
-- added, because `assign` adds them too; labels stay if the plan does not name them.
local function wanted_of(new)
  local fields = {
    title = '', description = '', requirements = '', criteria = '', checks = '', reviewer = '',
    deliverables_expected = '', lease_ms = LEASE_MS, max_attempts = tostring(MAX_ATTEMPTS), priority = new.priority,
  }
  for i = new.first_word, new.last_word, 2 do
    local field, value = ARGV[i], ARGV[i + 1]
    local is_added = field == 'context' or field == 'resources'
    fields[is_added and field .. '+' or field] = value
  end
  return fields
end

-- Checks the edits of existing items, together with the dependencies of the new ones.
local function check_edits(news)
  local after, changed, keys = {}, {}, {}
  for i, new in ipairs(news) do keys[i - 1] = new.key end
  for i, new in ipairs(news) do
    local item, depends_on = existing_items[i], dependencies_now(new)
    if item then
      local edit = editing.edit_of(item, wanted_of(new), depends_on, keys)
      edits[i] = edit
      rows[i][7], rows[i][8] = #edit.changes > 0 and 'edit' or '', editing.names_of(edit.refused)
      if edit.depends_on then
        after[item.id] = depends_on
        table.insert(changed, item.id)
      end
    else
      after[i - 1] = depends_on
    end
  end
  if #changed > 0 then editing.refuse_cycles(changed, after, keys) end
end

local function append(lists, name, value)
  local list = lists[name]
  if list then list[#list + 1] = value else lists[name] = {value} end
end

-- Writes what an item depends on, each once, whether it comes by its id or by its
-- place. Returns the number of open dependencies.
local function depend(id, dependencies)
  local all, open, is_counted = {}, {}, {}
  for _, dependency in ipairs(dependencies) do
    local other = dependency_id(dependency)
    if not is_counted[other] then
      is_counted[other] = true
      table.insert(all, other)
      local is_open = states[other] ~= 'completed'
      if is_open then table.insert(open, other) end
      append(members, key(is_open and 'dependents' or 'satisfied', other), id)
    end
  end
  call('HSET', key('item', id), 'depends_on', cjson.encode(all))
  call_in_chunks('SADD', key('deps', id), open)
  return #open
end

-- Returns whether an item has the time of its creation elsewhere; its assignment is new.
local function was_created_elsewhere(new)
  for i = new.first_word, new.last_word, 2 do
    if ARGV[i] == 'created_at' then return true end
  end
  return false
end

local function create(project, new, seq)
  local item = {
    id = new_id('item', new.digits), project = project, agent = new.agent, pool = new.pool,
    priority = new.priority, seq = seq, is_new = true, access_token = caller.access_token,
    not_before = new.delay > 0 and now + new.delay or new.not_before,
  }
  local open = new.depends_on and depend(item.id, new.depends_on) or 0
  add_to_index(item, state_without_holder(item, open))
  put(key('project', project) .. ':items', item.id, seq)
  if wakes_agent(item.state) then wake(item.owner) end
  if new.key ~= '' then call('HSET', key('project', project) .. ':keys', new.key, item.id) end
  emit('create', item, 'project', project, 'agent', new.agent, 'seq', seq, 'created_at', now,
    'created_by', caller.agent, unpack(ARGV, new.first_word, new.last_word))
  if item.access_token ~= '' then
    call('HSET', key('item', item.id), 'access_token', item.access_token)
  end
  if item.pool ~= '' then call('HSET', key('item', item.id), 'pool', item.pool) end
  if new.owner ~= '' and was_created_elsewhere(new) then
    call('HSET', key('item', item.id), 'assigned_at', now)
  end
  if item.priority ~= PRIORITY then
    call('HSET', key('item', item.id), 'priority', item.priority)
  end
  if item.not_before > 0 then
    call('HSET', key('item', item.id), 'not_before', item.not_before)
  end
  return item
end

local function open_project()
  local project = Project.create(new_id('project', wanted), title, description, now)
  if plan ~= '' then
    call('HSET', prefix .. 'plans', plan, project)
    call('HSET', key('project', project), 'plan', plan)
  end
  return project
end

local function create_missing(project, news, missing)
  local seq = missing > 0 and next_sequence(missing) - missing
  for i, new in ipairs(news) do
    local row = rows[i]
    if row[4] == '' then
      seq = seq + 1
      local item = create(project, new, seq)
      row[1], row[2] = item.id, item.state
    end
  end
  for dependents, ids in pairs(members) do call_in_chunks('SADD', dependents, ids) end
end

-- Returns the owners of new items, each once, in the order of the call.
local function owners_of(news)
  local found, is_done = {}, {[''] = true}
  for i, new in ipairs(news) do
    local owner = new.owner
    if rows[i][4] == '' and not is_done[owner] then
      is_done[owner] = true
      table.insert(found, owner)
    end
  end
  return found
end

-- Returns the agents among them that the namespace does not know yet, and the pools from which
-- no agent takes items. Adds them unless this is a dry run.
local function new_owners(owners)
  local agents, pools = {}, {}
  for _, owner in ipairs(owners) do
    local pool = Owner.pool_of(owner)
    local is_known = pool and call('EXISTS', key('members', pool)) == 1
      or not pool and call('ZSCORE', prefix .. 'agents', owner)
    if not is_known then
      table.insert(pool and pools or agents, pool or owner)
      if not dry then Owner.add(owner) end
    end
  end
  return agents, pools
end

local function ids_of(dependencies)
  local ids = {}
  for i, dependency in ipairs(dependencies) do ids[i] = dependency_id(dependency) end
  return ids
end

local function edit_existing()
  for i, edit in pairs(edits) do
    local item = existing_items[i]
    if edit.depends_on then
      edit.depends_on, edit.added = ids_of(edit.depends_on), ids_of(edit.added)
    end
    editing.write_edit(item, edit, states)
    rows[i][2] = item.state
  end
end

-- The kept reply has no texts. A repeat reads them from the history, as far as they are
-- there. Rows that an older version kept have no edits and no pool, and its replies no new
-- agents.
local function in_full(reply)
  local full = {}
  for i, row in ipairs(reply[3]) do
    full[i] = {unpack(row)}
    if edits[i] then
      full[i][7], full[i][8] = edits[i].changes, edits[i].refused
    else
      local is_edited = row[7] and row[7] ~= ''
      full[i][7] = is_edited and editing.changes_in_history(row[1]) or {}
      full[i][8] = {}
      for j, name in ipairs(row[8] or {}) do full[i][8][j] = {name, '', ''} end
    end
    full[i][9] = row[4] ~= '' and Project.reopens(row[1]) or ''
    full[i][10] = row[9] or ''
  end
  local new = reply[4] or {}
  return {reply[1], reply[2], full, new, Owner.besides('agents', new), reply[5] or {}}
end

local function apply()
  local project, status = find_project()
  local news, missing, at = {}, 0, FIRST
  while at <= #ARGV do
    local new
    new, at = parse_item(at)
    local row = check(project, status, new)
    table.insert(news, new)
    table.insert(rows, row)
    if row[4] == '' then missing = missing + 1 end
  end
  if edits_existing then check_edits(news) end
  local owners = owners_of(news)
  Access.need_items(missing)
  local named = Access.need_agents(owners)
  local remark = project and 'repeat' or ''
  if dry then return {project or '', remark, rows, new_owners(owners)} end

  project = project or open_project()
  begin_batch(news)
  create_missing(project, news, missing)
  edit_existing()
  Access.add_agents(named)
  return {project, remark, rows, new_owners(owners)}
end

if dry then return guarded(function() return in_full(apply()) end) end
return once(apply, in_full)
