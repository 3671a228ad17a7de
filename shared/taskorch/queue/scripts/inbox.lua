-- inbox: a part of what waits for a decision: the items with an open question, those that
--        wait for their reviewer, and the dead letters; of each kind, the one that waits
--        longest first.
-- KEYS     meta
-- ARGV     7 project or '' for all, 8 '1' for open questions only, else '', 9 cursor or '' to
--          begin, 10 maximum number of items
-- RETURNS  {cursor or '' at the end, {item view …}, {id of a dead letter, why it failed …}}
-- ERRORS   NO_PROJECT
-- Entries of indexes that a call visits, and reports that it reads.
local MAX_VISITED, STEP = 100, 50
local project, only_questions = scope.project_or_own(ARGV[7]), ARGV[8] ~= ''
local cursor, limit = ARGV[9], tonumber(ARGV[10])
local views, failures, visited = {}, {}, 0

local function is_of_project(item) return project == '' or item.project == project end

local function is_asking(id) return call('ZSCORE', prefix .. 'questions', id) end

-- What the agent stated is in the report that ended the last attempt, unless a lease has
-- expired.
local function add_failure(id)
  visited = visited + 1
  local ended = View.end_of_dead(id, call('ZSCORE', prefix .. 'dead', id) or now)
  if ended and value_of(ended[2], 'kind') == 'fail' then
    table.insert(failures, id)
    table.insert(failures, value_of(ended[2], 'text') or '')
  end
end

-- An item with a question is on the list for that. An older version listed its blocked items
-- only in their own index.
local KINDS = {
  {name = 'questions', of_project = true, is_wanted = function() return true end},
  {name = 'blocked', is_wanted = function(id) return not is_asking(id) end},
  {name = 'reviews', is_wanted = function(_, item) return item.state == 'review' end},
  {name = 'dead', add_more = add_failure, is_wanted = function(id, item)
    return item.state == 'failed' and not is_asking(id)
  end},
}

-- The first ones are those of questions.
local OF_QUESTIONS = 2

local function index_of_kind(kind)
  if kind.of_project and project ~= '' then return key(kind.name, project) end
  return prefix .. kind.name
end

local function is_full() return #views == limit or visited >= MAX_VISITED or not View.has_room() end

-- Adds items of a kind from a rank on. Returns the rank at which the call is full, or nil at
-- the end.
local function add(kind, from)
  while true do
    local page = call('ZRANGE', index_of_kind(kind), from, from + STEP - 1)
    for _, id in ipairs(page) do
      if is_full() then return from end
      visited, from = visited + 1, from + 1
      local item = find_item(id)
      if item and is_of_project(item) and kind.is_wanted(id, item) then
        table.insert(views, View.item(id))
        if kind.add_more then kind.add_more(id) end
      end
    end
    if #page < STEP then return nil end
  end
end

return guarded(function()
  if project ~= '' then Project.need(project) end
  local first, from = string.match(cursor, '^(%l+):(%d+)$')
  local has_begun = not first
  for place, kind in ipairs(KINDS) do
    if only_questions and place > OF_QUESTIONS then break end
    local is_first = kind.name == first
    has_begun = has_begun or is_first
    local stopped_at = has_begun and add(kind, is_first and tonumber(from) or 0)
    if stopped_at then return {kind.name .. ':' .. stopped_at, views, failures} end
  end
  return {'', views, failures}
end)
