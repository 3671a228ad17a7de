-- cancel_project: cancels the open items of a project, some in each call, and closes the
--                 project when none is left.
-- KEYS     meta
-- ARGV     7 project, 8 reason, 9 number of items to skip, 10 maximum number of items to
--          look at
-- RETURNS  {number to skip next time or '' at the end, number of items cancelled, 'repeat'
--          if the project was closed before or '', project view, {{item, numbers of its
--          questions that this closed} …}}
-- ERRORS   NO_PROJECT
local id, reason, from, limit = ARGV[7], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local OPEN = {'pending', 'waiting', 'queued', 'in_progress', 'blocked', 'delayed', 'failed'}

local function count_open()
  local all = 0
  for _, state in ipairs(OPEN) do
    all = all + (tonumber(call('HGET', key('project', id), 'n_' .. state) or 0) or 0)
  end
  return all
end

-- Cancels the open items among these ids. Returns their number, and the questions that
-- this closed.
local function cancel_open(ids)
  local open, closed = {}, {}
  for _, item_id in ipairs(ids) do
    local item = find_item(item_id)
    local is_open = item and item.state ~= 'completed' and item.state ~= 'cancelled'
    if is_open then table.insert(open, item) end
  end
  begin_batch(open)
  for _, item in ipairs(open) do
    revoke_token(item)
    Question.close_all(item)
    Question.list_closed(item, closed)
    report(item, 'cancel', 'text', reason)
    move(item, 'cancelled')
    emit('cancel', item)
  end
  if batch then write_batch() end
  return #open, closed
end

return once(function()
  if need_project(id) == 'completed' then return {'', 0, 'repeat', {}} end
  local page = call('ZRANGE', key('project', id) .. ':items', from, from + limit - 1)
  local cancelled, closed = cancel_open(page)
  if #page == limit then return {tostring(from + limit), cancelled, '', closed} end

  -- Another orchestrator may have queued an item that an earlier call had cancelled: then
  -- the items are looked at from the start again.
  if count_open() > 0 then return {'0', cancelled, '', closed} end
  call('HSET', key('project', id), 'status', 'completed', 'completed_at', now)
  emit('complete_project', {project = id, state = 'completed'})
  return {'', cancelled, '', closed}
end, function(reply)
  need_project(id) -- it may have been purged before a repeat
  return {reply[1], reply[2], reply[3], project_view(id), reply[4] or {}}
end)
