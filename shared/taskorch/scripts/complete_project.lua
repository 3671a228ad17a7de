-- complete_project: close a project whose items are done; `force` cancels what is open.
-- KEYS     meta
-- ARGV     6 project, 7 '1' to force
-- RETURNS  {project view, {item view …}}
-- ERRORS   NO_PROJECT OPEN_ITEMS NO_ITEM (an item of it is gone)
local function is_open(state) return state ~= 'completed' and state ~= 'cancelled' end

local function close(id)
  local item = load(id)
  settle(item)
  report(item, 'cancel', 'text', 'The project was completed.')
  move(item, 'cancelled')
  emit('cancel', item)
end

return once(function()
  local id, force = ARGV[6], ARGV[7]
  if need_project(id) == 'completed' then return {id} end
  local open = {}
  for _, item in ipairs(call('ZRANGE', key('project', id) .. ':items', 0, -1)) do
    if is_open(call('HGET', key('item', item), 'state')) then table.insert(open, item) end
  end
  if #open > 0 and force ~= '1' then fail('OPEN_ITEMS', {project = id, open = #open, first = open[1]}) end

  for _, item in ipairs(open) do close(item) end
  call('HSET', key('project', id), 'status', 'completed', 'completed_at', now)
  emit('complete_project', {project = id, state = 'completed'})
  return {id}
end, function(reply)
  local items = {}
  for _, item in ipairs(call('ZRANGE', key('project', reply[1]) .. ':items', 0, -1)) do
    table.insert(items, item_view(item))
  end
  return {project_view(reply[1]), items}
end)
