-- progress_of_project: a project, its items in the order of their creation, and the last report of each.
-- KEYS     meta
-- ARGV     7 project, 8 how many items at most
-- RETURNS  {project view, {{item view, stream entries (at most one)} …}}
-- ERRORS   NO_PROJECT
return guarded(function()
  local id, limit = ARGV[7], tonumber(ARGV[8])
  need_project(id)
  local rows = {}
  for _, item in ipairs(call('ZRANGE', key('project', id) .. ':items', 0, limit - 1)) do
    local view = item_views({item})[1]
    if view then
      table.insert(rows, {view, without_request(call('XREVRANGE', key('progress', item), '+', '-', 'COUNT', 1))})
    end
  end
  return {project_view(id), rows}
end)
