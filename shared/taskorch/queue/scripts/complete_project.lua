-- complete_project: closes a project whose items are completed; with force it cancels
--                   open items.
-- KEYS     meta
-- ARGV     7 project, 8 '1' to force
-- RETURNS  {project view, {item view …}, {{item, numbers of its questions that this closed}
--          …}}
-- ERRORS   NO_PROJECT OPEN_ITEMS
local function open_items(project)
  local open = {}
  for _, id in ipairs(call('ZRANGE', key('project', project) .. ':items', 0, -1)) do
    local item = find_item(id)
    if item and item.state ~= 'completed' and item.state ~= 'cancelled' then
      table.insert(open, item)
    end
  end
  return open
end

return once(function()
  local id, force = ARGV[7], ARGV[8]
  if need_project(id) == 'completed' then return {id, {}} end
  local open = open_items(id)
  if #open > 0 and force ~= '1' then
    refuse('OPEN_ITEMS', {project = id, open = #open, first = open[1].id})
  end

  local closed = {}
  begin_batch(open)
  for _, item in ipairs(open) do
    revoke_token(item)
    Question.close_all(item)
    Question.list_closed(item, closed)
    report(item, 'cancel', 'text', 'The project was completed.')
    move(item, 'cancelled')
    emit('cancel', item)
  end
  call('HSET', key('project', id), 'status', 'completed', 'completed_at', now)
  emit('complete_project', {project = id, state = 'completed'})
  return {id, closed}
end, function(reply)
  local id = reply[1]
  need_project(id) -- it may have been purged before a repeat
  local items = item_views(call('ZRANGE', key('project', id) .. ':items', 0, -1))
  return {project_view(id), items, reply[2] or {}}
end)
