-- Discoveries: how those of several projects are read in one order, and what a reader
--              has read.

-- Entries of a project that are fetched together: at first, if there are several
-- projects, and then.
local FETCHED_FIRST, FETCHED = 2, 20
-- Projects that one read looks at, the bytes of their first entries, and the bytes that
-- it returns.
local MAX_PROJECTS, MAX_FIRST_BYTES, MAX_FOUND_BYTES = 100, 524288, 524288
-- Items of an agent whose projects are its own: of those held, and of those queued.
local MAX_OWN_ITEMS = 50
-- New discoveries that are counted.
local MAX_NEW_COUNTED = 100

-- Returns the projects of the items that the caller holds or has queued; if it is confined,
-- no others.
local function own_projects()
  local projects, is_listed = {}, {}
  for _, index in ipairs({key('held', caller.agent), key('queue', caller.agent)}) do
    for _, id in ipairs(call('ZRANGE', index, 0, MAX_OWN_ITEMS - 1)) do
      local project = read_hash('item', id, 'HGET', 'project')
      local may_be = project and not is_listed[project] and not scope.is_foreign(project)
      if may_be and is_id('proj', project) then
        is_listed[project] = true
        table.insert(projects, project)
      end
    end
  end
  return projects
end

-- Returns the project of an item. A worker reads nothing of a project by an item of another
-- agent, unless it has an item there.
local function project_of(id)
  local item = need_item(id)
  if scope.is_hidden(id) then
    local is_own = false
    for _, project in ipairs(own_projects()) do is_own = is_own or project == item.project end
    if not is_own then refuse_not_yours(item) end
  end
  return item.project
end

-- Returns the projects to read, and their number with those that are too many: of a
-- project, of the project of an item, of all projects ('all', the newest first), or of
-- the caller's items ('own').
local function projects_to_read(target)
  local is_of_items = target == 'own' and scope.is_of_worker()
  if confined ~= '' and (target == 'all' or target == 'own') and not is_of_items then
    target = confined
  end
  if target == 'all' then
    local listed = call('ZREVRANGE', prefix .. 'projects', 0, MAX_PROJECTS - 1)
    return listed, call('ZCARD', prefix .. 'projects')
  end
  local projects = {target}
  if target == 'own' then
    projects = own_projects()
  elseif string.sub(target, 1, 5) == 'item_' then
    projects = {project_of(target)}
  else
    Project.need(target)
  end
  return projects, #projects
end

-- A heap of sources, each with its next discovery: the first in the order is at 1.

local function push(heap, source)
  local at = #heap + 1
  heap[at] = source
  while at > 1 do
    local above = math.floor(at / 2)
    if not heap.precedes(heap[at].next, heap[above].next) then return end
    heap[at], heap[above] = heap[above], heap[at]
    at = above
  end
end

local function pop(heap)
  local first, last = heap[1], table.remove(heap)
  if last == first then return first end
  heap[1] = last
  local at = 1
  while true do
    local least = at
    for below = 2 * at, 2 * at + 1 do
      if heap[below] and heap.precedes(heap[below].next, heap[least].next) then least = below end
    end
    if least == at then return first end
    heap[at], heap[least] = heap[least], heap[at]
    at = least
  end
end

-- Sets the next discovery of a source; nil at the end of its project.
local function advance(source)
  local entry = table.remove(source.fetched, 1)
  if not entry and not source.has_ended then
    local page = read_discoveries(source.project, source.command, source.from, source.to,
      source.count)
    source.has_ended = #page < source.count
    source.count = FETCHED
    source.fetched = page
    entry = table.remove(page, 1)
    local last = page[#page] or entry
    if last then source.from = '(' .. last[1] end
  end
  source.next = entry and placed({source.project, entry})
end

-- Returns the discoveries of projects, and whether there are more; then the number of
-- projects that were looked at. `from_of` returns where to begin in a project. The
-- oldest come first, or the newest if it reads `backwards`.
local function read_in_order(projects, from_of, limit, backwards)
  local heap = {precedes = is_before}
  local command, to = 'XRANGE', '+'
  if backwards then
    command, to = 'XREVRANGE', '-'
    heap.precedes = function(one, other) return is_before(other, one) end
  end
  local looked_at, first_bytes = 0, 0
  for _, project in ipairs(projects) do
    if first_bytes > MAX_FIRST_BYTES then break end
    looked_at = looked_at + 1
    local source = {project = project, command = command, from = from_of(project), to = to,
      count = #projects == 1 and FETCHED or FETCHED_FIRST, fetched = {}}
    advance(source)
    if source.next then
      first_bytes = first_bytes + bytes_of(source.next[2])
      for _, entry in ipairs(source.fetched) do first_bytes = first_bytes + bytes_of(entry) end
      push(heap, source)
    end
  end

  local found, bytes = {}, 0
  while #heap > 0 and #found < limit and bytes < MAX_FOUND_BYTES do
    local source = pop(heap)
    bytes = bytes + bytes_of(source.next[2])
    table.insert(found, source.next)
    advance(source)
    if source.next then push(heap, source) end
  end
  return found, #heap > 0, looked_at
end

-- Returns {{discovery …}, '1' if there are more, else '', the number of projects that
-- were looked at, and with those that are too many, {project of the caller's items …}}.
local function discoveries_view(target, projects, total, found, has_more, looked_at)
  for _, discovery in ipairs(found) do without_request({discovery[2]}) end
  return {found, has_more and '1' or '', looked_at, total, target == 'own' and projects or {}}
end

-- What a reader has read: an agent, as a worker or as an orchestrator ------------------

local function reader_of(role) return role .. ':' .. caller.agent end

-- Returns the id of the newest discovery of a project that a reader has read, or nil.
local function newest_read_by(reader, project)
  local id = read_hash('readers', project, 'HGET', reader)
  return id and string.find(id, '^%d+%-%d+$') and id or nil
end

-- Returns from where a reader has not read the discoveries of a project.
local function unread_from(reader, project)
  local id = newest_read_by(reader, project)
  return id and '(' .. id or '-'
end

-- Returns {number of discoveries of projects that a reader has not read, '1' if there
-- may be more, else ''}.
local function count_new(reader, projects)
  local count, bytes = 0, 0
  for _, project in ipairs(projects) do
    local from = unread_from(reader, project)
    repeat
      local page = read_discoveries(project, 'XRANGE', from, '+', FETCHED)
      for _, entry in ipairs(page) do
        count, bytes, from = count + 1, bytes + bytes_of(entry), '(' .. entry[1]
        if count == MAX_NEW_COUNTED or bytes > MAX_FOUND_BYTES then return {count, '1'} end
      end
    until #page < FETCHED
  end
  return {count, ''}
end
