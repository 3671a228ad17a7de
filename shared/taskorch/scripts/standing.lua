-- standing: how an item or a project stands, and the cursors to wait from.
-- KEYS     meta
-- ARGV     7 item or project
-- RETURNS  {newest event's id or '0-0', newest report's id or '0-0', {item view, if it is one}, project view,
--          the dead item that holds it up, or ''}
-- ERRORS   NO_ITEM NO_PROJECT
local MOST_VISITED = 1000
local id = ARGV[7]

-- A failed or cancelled item that one of these waits for, or another that it waits for; '' where none is found.
local function dead_end(ids)
  local waiting, states = {}, {}
  local function state_of(item)
    if states[item] == nil then
      states[item] = call('HGET', key('item', item), 'state')
      if states[item] == 'waiting' then table.insert(waiting, item) end
    end
    return states[item]
  end
  for _, item in ipairs(ids) do state_of(item) end
  for at, item in ipairs(waiting) do
    if at > MOST_VISITED then break end
    for _, dependency in ipairs(call('SMEMBERS', key('deps', item))) do
      local state = state_of(dependency)
      if state == 'failed' or state == 'cancelled' then return dependency end
    end
  end
  return ''
end

-- What is left of a project waits, though maybe for items of another one.
local function only_waits(project)
  local counts = call('HMGET', key('project', project), 'n_waiting', 'n_pending', 'n_queued', 'n_in_progress', 'n_blocked',
    'n_delayed')
  for i = 2, #counts do
    if tonumber(counts[i] or 0) > 0 then return false end
  end
  return tonumber(counts[1] or 0) > 0
end

return guarded(function()
  local project, views, report, ids = id, {}, nil, {id}
  if string.sub(id, 1, 5) == 'item_' then
    project, views = load(id).project, {item_view(id)}
    report = call('XREVRANGE', key('progress', id), '+', '-', 'COUNT', 1)[1]
  else
    need_project(id)
    ids = only_waits(id) and call('ZRANGE', key('project', id) .. ':items', 0, MOST_VISITED - 1) or {}
  end
  return {newest_event(), report and report[1] or '0-0', views, project_view(project), dead_end(ids)}
end)
