-- discoveries: the discoveries of one or more projects in the order in which they were
--              made, and where that is equal in the order of their projects.
-- KEYS     meta
-- ARGV     7 a project, an item for its project, 'all' for all projects, or 'own' for
--          those of the caller's items, 8 cursor ('0-0': from the start) or '' for the
--          newest, 9 project of the cursor or '', 10 maximum number
-- RETURNS  {{{project, stream entry} …}, '1' if there are more, else '', projects looked
--          at, projects in all, {project of the caller's items …}}
-- ERRORS   NO_PROJECT NO_ITEM
local target, cursor, cursor_project, limit = ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10])

-- The cursor names a discovery. With an equal id, those of later projects follow it.
local function from_of(project)
  local follows = cursor_project ~= '' and project > cursor_project
  return follows and cursor or '(' .. cursor
end

local function newest(projects)
  local found, has_more, looked_at = read_in_order(projects, function() return '+' end, limit, true)
  local oldest_first = {}
  for i = #found, 1, -1 do table.insert(oldest_first, found[i]) end
  return oldest_first, has_more, looked_at
end

return guarded(function()
  local projects, total = projects_to_read(target)
  local found, has_more, looked_at
  if cursor == '' then
    found, has_more, looked_at = newest(projects)
  else
    found, has_more, looked_at = read_in_order(projects, from_of, limit)
  end
  return discoveries_view(target, projects, total, found, has_more, looked_at)
end)
