-- Closing: what the end of a project does to its open items.

-- Cancels open items. Returns {{item, numbers of its questions that this closed} …}.
local function cancel_items(items, reason)
  local closed = {}
  begin_batch(items)
  for _, item in ipairs(items) do
    revoke_token(item)
    Question.close_all(item)
    Question.list_closed(item, closed)
    report(item, 'cancel', 'text', reason)
    move(item, 'cancelled')
    emit('cancel', item)
  end
  if batch then write_batch() end
  return closed
end

-- Returns the items that are still open among these ids.
local function open_among(ids)
  local open = {}
  for _, id in ipairs(ids) do
    local item = find_item(id)
    local is_open = item and item.state ~= 'completed' and item.state ~= 'cancelled'
    if is_open then table.insert(open, item) end
  end
  return open
end

local function close_project(id)
  call('HSET', key('project', id), 'status', 'completed', 'completed_at', now)
  emit('complete_project', {project = id, state = 'completed'})
end
