-- progress_of_project: a project, its items in the order of their creation, and the
--                      newest report on the work on each; and how much of its
--                      discoveries the calling orchestrator has not read.
-- KEYS     meta
-- ARGV     7 project, 8 maximum number of items
-- RETURNS  {project view, {{item view, stream entries (at most one)} …}, {number of new
--          discoveries, '1' if there may be more, else ''}}
-- ERRORS   NO_PROJECT
return guarded(function()
  local id, limit = ARGV[7], tonumber(ARGV[8])
  need_project(id)
  local rows = {}
  for _, item in ipairs(call('ZRANGE', key('project', id) .. ':items', 0, limit - 1)) do
    local view = item_views({item})[1]
    if view then
      table.insert(rows, {view, without_request({newest_about_work(item)})})
    end
  end
  return {project_view(id), rows, count_new(reader_of('orchestrator'), {id})}
end)
