-- list: items in the order of their creation, of one project or of all (the newest project first), some by filter.
-- KEYS     meta
-- ARGV     7 project or '' for all, 8 state or '', 9 agent or '', 10 cursor or '', 11 how many at most
-- RETURNS  {next cursor or '', {item view …}}
-- ERRORS   NO_PROJECT
local MOST_VISITED, STEP = 5000, 200
local project, state, agent, cursor, limit = ARGV[7], ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[11])
local found, visited = {}, 0

local function matches(id)
  local values = hash('item', id, 'HMGET', 'state', 'agent')
  return values and values[1] and (state == '' or values[1] == state) and (agent == '' or values[2] == agent)
end

-- Collects from one project, after a sequence number; returns where it had to stop, or nil at the project's end.
local function collect(id, after)
  while true do
    local page = call('ZRANGE', key('project', id) .. ':items', '(' .. after, '+inf', 'BYSCORE',
      'LIMIT', 0, STEP, 'WITHSCORES')
    for i = 1, #page, 2 do
      if #found == limit or visited == MOST_VISITED then return after end
      visited, after = visited + 1, page[i + 1]
      if matches(page[i]) then table.insert(found, item_view(page[i])) end
    end
    if #page < 2 * STEP then return nil end
  end
end

return guarded(function()
  local at, after = string.match(cursor, '^(.*):(%d+)$')
  if project ~= '' then
    need_project(project)
    local stop = collect(project, after or '0')
    return {stop and project .. ':' .. stop or '', found}
  end
  local from = at and call('ZREVRANK', prefix .. 'projects', at) or 0
  while true do
    local id = call('ZREVRANGE', prefix .. 'projects', from, from)[1]
    if not id then return {'', found} end
    if visited == MOST_VISITED then return {id .. ':0', found} end
    local stop = collect(id, id == at and after or '0')
    if stop then return {id .. ':' .. stop, found} end
    from, visited = from + 1, visited + (visited < MOST_VISITED and 1 or 0)
  end
end)
