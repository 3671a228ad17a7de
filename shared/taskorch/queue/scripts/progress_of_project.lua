-- progress_of_project: a project, a page of its items in the order of their creation, and
--                      the newest report on the work on each; and how much of its
--                      discoveries the calling orchestrator has not read.
-- KEYS     meta
-- ARGV     7 project, 8 number of items to skip, 9 maximum number
-- RETURNS  {number to skip next time, or '' at the end, {{item view, stream entries (at
--          most one)} …}, project view, {number of new discoveries, '1' if there may be
--          more, else ''}}
-- ERRORS   NO_PROJECT
return guarded(function()
  local id, from, limit = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
  Project.need(id)
  local page = call('ZRANGE', key('project', id) .. ':items', from, from + limit - 1)
  local rows, next_from = {}, #page == limit and tostring(from + limit) or ''
  for i, item in ipairs(page) do
    if not View.has_room() and i > 1 then
      next_from = tostring(from + i - 1)
      break
    end
    local view = View.items({item})[1]
    if view then
      table.insert(rows, {view, without_request({View.newest_about_work(item)})})
    end
  end
  return {next_from, rows, View.project(id), count_new(reader_of('orchestrator'), {id})}
end)
