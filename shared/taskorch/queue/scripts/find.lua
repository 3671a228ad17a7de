-- find: the items and projects whose ids begin with some digits. It looks at a bounded
--       number of ids; the cursor continues. A whole id is found first, and alone. A
--       gateway's client with the token of a worker finds its own items, those in its
--       pools, and those that it reviews.
-- KEYS     meta
-- ARGV     7 'item', 'proj' or '' for both, 8 digits, 9 cursor or '', 10 maximum number,
--          11 the caller's agent, to find only items that it holds or that are ready for
--          it, in its pools too, or ''
-- RETURNS  {next cursor or '', {{id, title} …}}
-- ERRORS   none of its own
local MAX_VISITED, STEP = 1500, 500
-- A project counts as several ids: it takes some commands, even if it is empty.
local PROJECT_VISITS = 10
local kind, digits, cursor, limit, agent = ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10]), ARGV[11]
local of_items, of_projects = kind ~= 'proj', kind ~= 'item'
local project_start, item_pattern = 'proj_' .. digits, 'item_' .. digits .. '*'
local found, visited = {}, 0

local function add(name, id)
  local title = read_hash(name, id, 'HGET', 'title')
  table.insert(found, {id, title or ''})
end

-- Adds an item, or a project, if it exists for the caller.
local function add_whole(name, id, project)
  if call('EXISTS', key(name, id)) == 1 and not scope.is_foreign(project) then add(name, id) end
end

local function find_whole()
  local item, project = 'item_' .. digits, 'proj_' .. digits
  if of_items and not scope.is_hidden(item) then
    add_whole('item', item, read_hash('item', item, 'HGET', 'project'))
  end
  if of_projects then add_whole('project', project, project) end
  return #found > 0
end

-- Looks at items of a project from a cursor of ZSCAN on. Returns the next cursor, '0' at
-- the end of the project.
local function look_at_items(project, from)
  local items = key('project', project) .. ':items'
  repeat
    if visited >= MAX_VISITED or #found >= limit then return from end
    local next, entries = unpack(call('ZSCAN', items, from, 'MATCH', item_pattern, 'COUNT', STEP))
    for i = 1, #entries, 2 do
      if not scope.is_hidden(entries[i]) then add('item', entries[i]) end
    end
    visited, from = visited + math.min(STEP, call('ZCARD', items)), next
  until from == '0'
  return from
end

-- Finds what `find` does for a caller that sees one project.
local function find_in_own(from)
  local is_match = string.sub(confined, 1, #project_start) == project_start
  if of_projects and is_match and from == '0' then add('project', confined) end
  local stopped_at = of_items and look_at_items(confined, from) or '0'
  return {stopped_at ~= '0' and confined .. ':' .. stopped_at or '', found}
end

local function find(first, from)
  local position = first and call('ZREVRANK', prefix .. 'projects', first) or 0
  while true do
    local id = call('ZREVRANGE', prefix .. 'projects', position, position)[1]
    if not id then return {'', found} end
    local is_continued = id == first
    if not is_continued and (visited >= MAX_VISITED or #found >= limit) then
      return {id .. ':0', found}
    end
    local is_match = string.sub(id, 1, #project_start) == project_start
    if of_projects and is_match and not (is_continued and from ~= '0') then add('project', id) end
    local stopped_at = of_items and look_at_items(id, is_continued and from or '0') or '0'
    if stopped_at ~= '0' then return {id .. ':' .. stopped_at, found} end
    visited, position = visited + PROJECT_VISITS, position + 1
  end
end

local function is_foreign_item(id)
  return confined ~= '' and scope.is_foreign(read_hash('item', id, 'HGET', 'project'))
end

local function find_of_agent()
  local start = 'item_' .. digits
  local indexes = {key('held', agent)}
  for _, owner in ipairs(Owner.of_caller()) do table.insert(indexes, key('queue', owner)) end
  for _, index in ipairs(indexes) do
    for _, id in ipairs(call('ZRANGE', index, 0, STEP - 1)) do
      if #found >= limit then break end
      local is_match = string.sub(id, 1, #start) == start
      if is_match and not is_foreign_item(id) then add('item', id) end
    end
  end
  return {'', found}
end

return guarded(function()
  if agent ~= '' then return find_of_agent() end
  if scope.is_of_worker() then of_projects = false end
  local first, from = string.match(cursor, '^(.*):(%d+)$')
  if not first and find_whole() then return {'', found} end
  if confined ~= '' then return find_in_own(from or '0') end
  return find(first, from)
end)
