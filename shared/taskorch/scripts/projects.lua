-- projects: the newest projects.
-- KEYS     meta
-- ARGV     7 how many at most
-- RETURNS  {project view …}
-- ERRORS   none of its own
return guarded(function()
  local projects = {}
  for _, id in ipairs(call('ZREVRANGE', prefix .. 'projects', 0, ARGV[7] - 1)) do
    table.insert(projects, project_view(id))
  end
  return projects
end)
