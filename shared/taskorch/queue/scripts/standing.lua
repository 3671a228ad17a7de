-- standing: the state of an item or a project, and the cursors to wait from. If all that is
--           left of a project waits, a call looks for the dead item that holds it up among
--           some of its items.
-- KEYS     meta
-- ARGV     7 item or project, 8 number of items of a project to skip, of which earlier
--          calls have found nothing, or '' to look at none of them
-- RETURNS  {newest event's id or '0-0', newest report's id or '0-0', {item view, if it
--          is an item}, project view, the dead item that holds it up or '', '1' if
--          something that it waits for is still worked on, else '', '1' if an item of
--          the project has an open question, else '', '1' if a requeue of the dead item
--          has to reopen its project, else '', number of items to skip next time or ''}
-- ERRORS   NO_ITEM NO_PROJECT
-- Items of a project that a call looks at, and items and dependencies in all, about.
local MAX_VISITED, MAX_STEPS = 60, 150
local id, skip = ARGV[7], tonumber(ARGV[8])
local ENDED = {completed = true, failed = true, cancelled = true}

-- Returns a failed or cancelled item that one of these waits for, directly or through
-- other waiting items, or ''; and '1' if something that they wait for is still worked
-- on, or not all was looked at. If one of the items itself is worked on, nothing holds
-- them up.
local function dead_end(ids)
  local waiting, states, dead, moves = {}, {}, '', ''
  local visited = 0
  local function visit(item)
    if states[item] ~= nil then return states[item] end
    local state = call('HGET', key('item', item), 'state')
    states[item], visited = state, visited + 1
    local is_pending = state == 'pending' and call('EXISTS', key('deps', item)) == 1
    if state == 'waiting' or is_pending then
      table.insert(waiting, item)
    elseif state and not ENDED[state] then
      moves = '1'
    end
    return state
  end
  for _, item in ipairs(ids) do visit(item) end
  if moves == '1' then return dead, moves end
  -- `visit` adds to the list while this loop goes through it.
  for _, item in ipairs(waiting) do
    for _, dependency in ipairs(call('SMEMBERS', key('deps', item))) do
      if visited > MAX_STEPS then return dead, '1' end
      local state = visit(dependency)
      local is_dead = state == 'failed' or state == 'cancelled'
      if is_dead and dead == '' then dead = dependency end
    end
    if dead ~= '' and moves == '1' then break end
  end
  return dead, moves
end

-- Returns whether all that is left of a project waits, maybe for items of another project.
-- A pending item may wait or not.
local function only_waits(project)
  local counts = call('HMGET', key('project', project), 'n_waiting', 'n_pending', 'n_queued',
    'n_in_progress', 'n_blocked', 'n_review', 'n_delayed')
  for i, count in ipairs(counts) do counts[i] = tonumber(count or 0) or 0 end
  local waiting, pending = counts[1], counts[2]
  local moving = 0
  for i = 3, #counts do moving = moving + counts[i] end
  return waiting + pending > 0 and moving == 0
end

-- Returns the items of a project to look at, and the number to skip next time or ''.
local function items_to_look_at(project)
  if not skip or not only_waits(project) then return {}, '' end
  local last = skip + MAX_VISITED - 1
  local items = call('ZRANGE', key('project', project) .. ':items', skip, last)
  return items, #items == MAX_VISITED and tostring(skip + MAX_VISITED) or ''
end

return guarded(function()
  local project, views, newest_report, ids
  local next_skip = ''
  if string.sub(id, 1, 5) == 'item_' then
    project, views, ids = need_item(id).project, {View.item(id)}, {id}
    newest_report = View.read_reports(id, 'XREVRANGE', '+', '-', 'COUNT', 1)[1]
  else
    Project.need(id)
    project, views = id, {}
    ids, next_skip = items_to_look_at(id)
  end
  local dead, moves = dead_end(ids)
  local report_id = newest_report and newest_report[1] or '0-0'
  local asks = call('EXISTS', key('questions', project)) == 1 and '1' or ''
  return {View.newest_event(), report_id, views, View.project(project), dead, moves, asks,
    dead ~= '' and Project.reopens(dead) or '', next_skip}
end)
