-- discoveries: a page of the discoveries of one or more projects in the order in which
--              they were made, and where that is equal in the order of their projects.
-- KEYS     meta
-- ARGV     7 a project, an item for its project, 'all' for all projects, or 'own' for
--          those of the caller's items, 8 'after' or 'before' the cursor, 9 cursor
--          ('0-0': from the start), or '' for the newest, 10 project of the cursor or '',
--          11 maximum number
-- RETURNS  {{{project, stream entry} …}, the oldest first, '1' if there are more, else '',
--          projects looked at, projects in all, {project of the caller's items …}}
-- ERRORS   NO_PROJECT NO_ITEM NOT_YOURS
local target, is_backwards = ARGV[7], ARGV[8] == 'before'
local cursor, cursor_project, limit = ARGV[9], ARGV[10], tonumber(ARGV[11])

-- The cursor names a discovery. With an equal id, those of later projects follow it, and
-- those of earlier ones precede it.
local function from_of(project)
  if cursor == '' then return '+' end
  local follows, precedes = project > cursor_project, project < cursor_project
  local is_wanted = cursor_project ~= '' and (is_backwards and precedes or not is_backwards and follows)
  return is_wanted and cursor or '(' .. cursor
end

local function reversed(discoveries)
  local oldest_first = {}
  for i = #discoveries, 1, -1 do table.insert(oldest_first, discoveries[i]) end
  return oldest_first
end

return guarded(function()
  local projects, total = projects_to_read(target)
  local found, has_more, looked_at = read_in_order(projects, from_of, limit, is_backwards)
  if is_backwards then found = reversed(found) end
  return discoveries_view(target, projects, total, found, has_more, looked_at)
end)
