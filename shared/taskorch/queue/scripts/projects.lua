-- projects: the newest projects: all, those that are not completed, or those that are; a
--           page of them. It looks at a bounded number.
-- KEYS     meta
-- ARGV     7 'open', 'completed', or '' for all, 8 number of projects to skip, 9 maximum
--          number
-- RETURNS  {number to skip next time, or '' at the end, {project view …}}
-- ERRORS   none of its own
local MAX_VISITED = 500
local which, from, limit = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])

local function is_wanted(id)
  if which == '' then return true end
  local is_completed = call('HGET', key('project', id), 'status') == 'completed'
  return is_completed == (which == 'completed')
end

return guarded(function()
  local most = which == '' and limit or MAX_VISITED
  local page, projects = call('ZREVRANGE', prefix .. 'projects', from, from + most - 1), {}
  for i, id in ipairs(page) do
    if is_wanted(id) and not scope.is_foreign(id) then
      table.insert(projects, View.project(id))
      if #projects == limit or not View.has_room() then return {tostring(from + i), projects} end
    end
  end
  return {#page == most and tostring(from + most) or '', projects}
end)
