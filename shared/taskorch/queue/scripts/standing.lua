-- standing: how an item or a project stands, and the cursors to wait from.
-- KEYS     meta
-- ARGV     7 item or project
-- RETURNS  {newest event's id or '0-0', newest report's id or '0-0', {item view, if it is one}, project view,
--          the dead item that holds it up, or '', '1' if something that it waits for goes on, else ''}
-- ERRORS   NO_ITEM NO_PROJECT
local MOST_VISITED = 1000
local id = ARGV[7]

local ENDED = {completed = true, failed = true, cancelled = true}

-- A failed or cancelled item that one of these waits for, or another that it waits for, '' where none is found; and '1'
-- if something goes on there, or there was more to look at. Where one of these goes on itself, nothing holds them up.
local function dead_end(ids)
  local waiting, states, dead, moves = {}, {}, '', ''
  local function state_of(item)
    if states[item] == nil then
      local state = call('HGET', key('item', item), 'state')
      states[item] = state
      if state == 'waiting' or (state == 'pending' and call('EXISTS', key('deps', item)) == 1) then
        table.insert(waiting, item)
      elseif state and not ENDED[state] then
        moves = '1'
      end
    end
    return states[item]
  end
  for _, item in ipairs(ids) do state_of(item) end
  if moves == '1' then return dead, moves end
  for at, item in ipairs(waiting) do
    if at > MOST_VISITED then return dead, '1' end
    for _, dependency in ipairs(call('SMEMBERS', key('deps', item))) do
      local state = state_of(dependency)
      if dead == '' and (state == 'failed' or state == 'cancelled') then dead = dependency end
    end
    if dead ~= '' and moves == '1' then break end
  end
  return dead, #ids < MOST_VISITED and moves or '1'
end

-- The items of a project where what is left of it waits, though maybe for items of another one. An item that nobody is
-- assigned to may wait or not: so all have to be looked at where there is one.
local function all_that_waits(project)
  local counts = call('HMGET', key('project', project), 'n_waiting', 'n_pending', 'n_queued', 'n_in_progress', 'n_blocked',
    'n_delayed')
  for i, count in ipairs(counts) do counts[i] = tonumber(count or 0) or 0 end
  local items = key('project', project) .. ':items'
  if counts[1] + counts[2] == 0 or counts[3] + counts[4] + counts[5] + counts[6] > 0 then return {} end
  if counts[2] > 0 and call('ZCARD', items) > MOST_VISITED then return {} end
  return call('ZRANGE', items, 0, MOST_VISITED - 1)
end

return guarded(function()
  local project, views, report, ids = id, {}, nil, {id}
  if string.sub(id, 1, 5) == 'item_' then
    project, views = load(id).project, {item_view(id)}
    report = call('XREVRANGE', key('progress', id), '+', '-', 'COUNT', 1)[1]
  else
    need_project(id)
    ids = all_that_waits(id)
  end
  local dead, moves = dead_end(ids)
  return {newest_event(), report and report[1] or '0-0', views, project_view(project), dead, moves}
end)
