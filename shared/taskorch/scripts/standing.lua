-- standing: how an item or a project stands, and the cursors to wait from.
-- KEYS     meta
-- ARGV     7 item or project
-- RETURNS  {newest event's id or '0-0', newest report's id or '0-0', {item view, if it is one}, project view}
-- ERRORS   NO_ITEM NO_PROJECT
local id = ARGV[7]

return guarded(function()
  local project, views, report = id, {}, nil
  if string.sub(id, 1, 5) == 'item_' then
    project, views = load(id).project, {item_view(id)}
    report = call('XREVRANGE', key('progress', id), '+', '-', 'COUNT', 1)[1]
  else
    need_project(id)
  end
  return {newest_event(), report and report[1] or '0-0', views, project_view(project)}
end)
