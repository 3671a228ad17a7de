-- projects: the newest projects, all or those of one status. It looks at a bounded
--           number of them.
-- KEYS     meta
-- ARGV     7 maximum number, 8 status or '' for all
-- RETURNS  {project view …}
-- ERRORS   none of its own
local MAX_VISITED = 5000
local limit, status = tonumber(ARGV[7]), ARGV[8]

return guarded(function()
  local visited = status == '' and limit or MAX_VISITED
  local projects = {}
  for _, id in ipairs(call('ZREVRANGE', prefix .. 'projects', 0, visited - 1)) do
    if status == '' or call('HGET', key('project', id), 'status') == status then
      table.insert(projects, project_view(id))
      if #projects == limit then break end
    end
  end
  return projects
end)
