-- list: items in the order of their creation, of one project or of all (the newest
--       first), or the first of all by another order; optionally only some of them.
-- KEYS     meta
-- ARGV     7 project or '' for all, 8 states, 9 agents, 10 priorities, 11 labels: JSON
--          lists, of which an item has one value, but all of the labels, and any if
--          the list is empty, 12 JSON list of texts that are all in its title or its
--          description, 13 ms since when it has changed, negative for ms before now, or 0,
--          14 ms since when it has not changed, the same, 15 'created', 'changed',
--          'priority' or '', 16 pools, as 9, 17 cursor or '', 18 maximum number
-- RETURNS  {next cursor or '', {item view …}, number of items that match, number of items
--          and projects visited, {project of such an item, its title …}}; with an order,
--          the first of the part that the call has visited
-- ERRORS   NO_PROJECT
local MAX_VISITED, MAX_SORTED, MAX_SEARCHED, STEP = 100, 30, 524288, 100
local project = scope.project_or_own(ARGV[7])
local since, order = tonumber(ARGV[13]), ARGV[15]
local unchanged_since = tonumber(ARGV[14])
local cursor, limit = ARGV[17], tonumber(ARGV[18])
local labels, texts = cjson.decode(ARGV[11]), cjson.decode(ARGV[12])
if since < 0 then since = now + since end
if unchanged_since < 0 then unchanged_since = now + unchanged_since end
local most = order == '' and MAX_VISITED or MAX_SORTED
-- Views of items, or with an order {id, its value, place}; and bytes of what is returned, and
-- of texts that were searched.
local found, visited, searched = {}, 0, 0

-- Returns the values of a JSON list as a set, or nil if it is empty.
local function set_or_nil(list)
  local values = cjson.decode(list)
  return #values > 0 and editing.set_of(values) or nil
end

local states, agents, priorities = set_or_nil(ARGV[8]), set_or_nil(ARGV[9]), set_or_nil(ARGV[10])
local pools = set_or_nil(ARGV[16])

-- Of the characters of a label, JSON escapes at most '/': an edit stores it as '\/'. So a
-- label is found in the stored list.
local function has_labels(stored)
  if #labels == 0 then return true end
  local plain = string.gsub(stored, '\\/', '/')
  for _, label in ipairs(labels) do
    if not string.find(plain, '"' .. label .. '"', 1, true) then return false end
  end
  return true
end

local function has_texts(id)
  if #texts == 0 then return true end
  local title, description = unpack(read_hash('item', id, 'HMGET', 'title', 'description'))
  local searched_in = string.lower((title or '') .. '\0' .. (description or ''))
  for _, text in ipairs(texts) do
    searched = searched + #searched_in
    if not string.find(searched_in, string.lower(text), 1, true) then return false end
  end
  return true
end

local function ms_of(event) return tonumber(string.match(event or '', '^%d+')) or 0 end

local function add_view(id)
  local view = View.item(id)
  if scope.is_foreign(value_of(view[2], 'project')) then return end
  searched = searched + bytes_of(view)
  table.insert(found, view)
end

-- Adds an item to those that were found if it matches.
local function add_if_wanted(id)
  local v = read_hash('item', id, 'HMGET', 'state', 'agent', 'priority', 'labels', 'event',
    'created_at', 'pool')
  if not v or not v[1] then return end
  local priority, changed = v[3] or PRIORITY, ms_of(v[5])
  if states and not states[v[1]] then return end
  if agents and not agents[v[2] or ''] then return end
  if pools and not pools[v[7] or ''] then return end
  if priorities and not priorities[tonumber(priority)] then return end
  if changed < since or (unchanged_since > 0 and changed > unchanged_since) then return end
  if not has_labels(v[4] or '') or not has_texts(id) then return end
  if order == '' then return add_view(id) end
  searched = searched + item_bytes(id)
  local values = {created = -(tonumber(v[6]) or 0), changed = -changed, priority = priority}
  table.insert(found, {id, tonumber(values[order]) or 0, #found})
end

local function is_full()
  local has_limit = order == '' and #found == limit
  return has_limit or visited == most or searched >= MAX_SEARCHED
end

-- Visits the items of one project after a sequence number. Returns the number at which
-- it stopped, or nil at the end of the project.
local function visit(id, after)
  while true do
    local page = read_hash('project', id .. ':items', 'ZRANGE', '(' .. after, '+inf', 'BYSCORE',
      'LIMIT', 0, STEP, 'WITHSCORES') or {}
    for i = 1, #page, 2 do
      if is_full() then return after end
      visited, after = visited + 1, page[i + 1]
      add_if_wanted(page[i])
    end
    if #page < 2 * STEP then return nil end
  end
end

local function visit_project(after)
  Project.need(project)
  local stopped_at = visit(project, after)
  return stopped_at and project .. ':' .. stopped_at or ''
end

-- A project counts as one visit, so that many empty projects end the call too.
local function visit_all(first, after)
  local position = first and call('ZREVRANK', prefix .. 'projects', first) or 0
  while true do
    local id = call('ZREVRANGE', prefix .. 'projects', position, position)[1]
    if not id then return '' end
    if visited == most then return id .. ':0' end
    local stopped_at = visit(id, id == first and after or '0')
    if stopped_at then return id .. ':' .. stopped_at end
    position = position + 1
    if visited < most then visited = visited + 1 end
  end
end

local function comes_before(one, other)
  if one[2] ~= other[2] then return one[2] < other[2] end
  return one[3] < other[3]
end

-- Returns the titles of the projects of items: project, title ….
local function titles_of(views)
  local flat, is_known = {}, {}
  for _, view in ipairs(views) do
    local id = value_of(view[2], 'project') or ''
    if not is_known[id] then
      is_known[id] = true
      table.insert(flat, id)
      table.insert(flat, read_hash('project', id, 'HGET', 'title') or '')
    end
  end
  return flat
end

-- Returns the views of the first items in the wanted order.
local function first_found()
  if order == '' then return found end
  table.sort(found, comes_before)
  local ids = {}
  for i = 1, math.min(#found, limit) do ids[i] = found[i][1] end
  return (View.items(ids, math.huge))
end

return guarded(function()
  local first, after = string.match(cursor, '^(.*):(%d+)$')
  local next_cursor
  if project ~= '' then
    next_cursor = visit_project(after or '0')
  else
    next_cursor = visit_all(first, after)
  end
  local views = first_found()
  return {next_cursor, views, #found, visited, titles_of(views)}
end)
