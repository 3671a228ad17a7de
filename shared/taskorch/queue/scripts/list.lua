-- list: items in the order of their creation, of one project or of all (the newest
--       first), optionally of one state or agent.
-- KEYS     meta
-- ARGV     7 project or '' for all, 8 state or '', 9 agent or '', 10 cursor or '', 11
--          maximum number
-- RETURNS  {next cursor or '', {item view …}}
-- ERRORS   NO_PROJECT
local MAX_VISITED, STEP = 5000, 200
local project, state, agent, cursor, limit = ARGV[7], ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[11])
local found, visited = {}, 0

local function matches(id)
  local values = read_hash('item', id, 'HMGET', 'state', 'agent')
  if not values or not values[1] then return false end
  local state_matches = state == '' or values[1] == state
  local agent_matches = agent == '' or values[2] == agent
  return state_matches and agent_matches
end

-- Collects the items of one project after a sequence number. Returns the number at
-- which it stopped, or nil at the end of the project.
local function collect(id, after)
  while true do
    local page = call('ZRANGE', key('project', id) .. ':items', '(' .. after, '+inf', 'BYSCORE',
      'LIMIT', 0, STEP, 'WITHSCORES')
    for i = 1, #page, 2 do
      if #found == limit or visited == MAX_VISITED then return after end
      visited, after = visited + 1, page[i + 1]
      if matches(page[i]) then table.insert(found, item_view(page[i])) end
    end
    if #page < 2 * STEP then return nil end
  end
end

local function list_project(after)
  need_project(project)
  local stopped_at = collect(project, after)
  return {stopped_at and project .. ':' .. stopped_at or '', found}
end

-- A project counts as one visit, so that many empty projects end the call too.
local function list_all(first, after)
  local position = first and call('ZREVRANK', prefix .. 'projects', first) or 0
  while true do
    local id = call('ZREVRANGE', prefix .. 'projects', position, position)[1]
    if not id then return {'', found} end
    if visited == MAX_VISITED then return {id .. ':0', found} end
    local stopped_at = collect(id, id == first and after or '0')
    if stopped_at then return {id .. ':' .. stopped_at, found} end
    position = position + 1
    if visited < MAX_VISITED then visited = visited + 1 end
  end
end

return guarded(function()
  local first, after = string.match(cursor, '^(.*):(%d+)$')
  if project ~= '' then return list_project(after or '0') end
  return list_all(first, after)
end)
