-- complete_project: close a project whose items are done; `force` cancels what is open.
-- KEYS     meta
-- ARGV     7 project, 8 '1' to force
-- RETURNS  {project view, {item view …}}
-- ERRORS   NO_PROJECT OPEN_ITEMS
local function close(item)
  settle(item)
  report(item, 'cancel', 'text', 'The project was completed.')
  move(item, 'cancelled')
  emit('cancel', item)
end

return once(function()
  local id, force = ARGV[7], ARGV[8]
  if need_project(id) == 'completed' then return {id} end
  local open = {}
  for _, each in ipairs(call('ZRANGE', key('project', id) .. ':items', 0, -1)) do
    local item = find(each)
    if item and item.state ~= 'completed' and item.state ~= 'cancelled' then table.insert(open, item) end
  end
  if #open > 0 and force ~= '1' then fail('OPEN_ITEMS', {project = id, open = #open, first = open[1].id}) end

  gather(open)
  for _, item in ipairs(open) do close(item) end
  call('HSET', key('project', id), 'status', 'completed', 'completed_at', now)
  emit('complete_project', {project = id, state = 'completed'})
  return {id}
end, function(reply)
  need_project(reply[1]) -- to a repeat it may be gone
  return {project_view(reply[1]), item_views(call('ZRANGE', key('project', reply[1]) .. ':items', 0, -1))}
end)
