-- complete_project: closes a project whose items are completed; with force it cancels
--                   open items.
-- KEYS     meta
-- ARGV     7 project, 8 '1' to force
-- RETURNS  {project view, {item view …}, {{item, numbers of its questions that this closed}
--          …}}
-- ERRORS   NO_PROJECT OPEN_ITEMS
return once(function()
  local id, force = ARGV[7], ARGV[8]
  if need_project(id) == 'completed' then return {id, {}} end
  local open = open_among(call('ZRANGE', key('project', id) .. ':items', 0, -1))
  if #open > 0 and force ~= '1' then
    refuse('OPEN_ITEMS', {project = id, open = #open, first = open[1].id})
  end

  local closed = cancel_items(open, 'The project was completed.')
  close_project(id)
  return {id, closed}
end, function(reply)
  local id = reply[1]
  need_project(id) -- it may have been purged before a repeat
  local items = item_views(call('ZRANGE', key('project', id) .. ':items', 0, -1))
  return {project_view(id), items, reply[2] or {}}
end)
