-- stuck: the stalled items, and why. It looks at a bounded number of items.
-- KEYS     meta
-- ARGV     7 ms that an item is queued before it counts, 8 ms without a step of its
--          holder before it counts, 9 project or '' for all, 10 maximum number of items
-- RETURNS  {items looked at, '1' if not all were looked at or returned, else '', {{why,
--          since ms, agent last seen ms, dead dependency or '', why it failed or '',
--          item view, '1' if the requeue that helps has to reopen a project, else ''} …}}
-- ERRORS   NO_PROJECT
local MAX_VISITED, STEP = 5000, 200
local unstarted_ms, silent_ms = tonumber(ARGV[7]), tonumber(ARGV[8])
local project, limit = ARGV[9], tonumber(ARGV[10])
local found, visited, is_incomplete = {}, 0, false

local function add(why, item, since, dependency, reason, is_reopening)
  local last_seen = call('ZSCORE', prefix .. 'agents', item.agent) or '0'
  table.insert(found, {why, string.format('%d', since), last_seen, dependency or '', reason or '',
    item_view(item.id), is_reopening or ''})
end

-- Returns where to stop so that each of the `kinds` that are left gets an equal share.
local function share(kinds) return visited + math.floor((MAX_VISITED - visited) / kinds) end

-- Calls `look` for the items of an index in their order, until `max` items were
-- visited. An item in another state ('' for any), or of another project, is skipped;
-- one that is listed in `but` is not visited.
local function each(index, state, max, look, but)
  local at = 0
  while at < MAX_VISITED do
    local page = call('ZRANGE', index, at, at + STEP - 1, 'WITHSCORES')
    for i = 1, #page, 2 do
      if not but or not call('ZSCORE', but, page[i]) then
        if visited >= max or #found == limit then
          is_incomplete = true
          return
        end
        visited = visited + 1
        local item = find_item(page[i])
        local is_wanted = item and (project == '' or item.project == project)
        if is_wanted and (item.state == state or state == '') then
          look(item, tonumber(page[i + 1]))
        end
      end
    end
    if #page < 2 * STEP then return end
    at = at + STEP
  end
  is_incomplete = true
end

local function look_at_held(item, expires)
  local last_step = last_step_at(item, expires)
  if expires <= now then
    add('expired', item, expires)
  elseif last_step <= now - silent_ms then
    add('silent', item, last_step)
  end
end

local function look_at_waiting(item, since)
  for _, dependency in ipairs(call('SMEMBERS', key('deps', item.id))) do
    local state = call('HGET', key('item', dependency), 'state')
    if state == 'failed' or state == 'cancelled' then
      return add('dead_dependency', item, since, dependency, '', reopens(dependency))
    end
  end
end

-- The index of pending items has their order as its scores, and no time.
local function look_at_pending(item) look_at_waiting(item, changed_at(item.id)) end

-- What the agent stated is in its newest report. After an expired lease there is no
-- text.
local function look_at_failed(item, since)
  local newest = newest_about_work(item.id)
  add('failed', item, since, '', newest and value_of(newest[2], 'text'), reopens(item.id))
end

local function look_at_queued(item)
  local since = changed_at(item.id)
  if since <= now - unstarted_ms then add('unstarted', item, since) end
end

-- If the delay has ended and no call has queued the item yet, no agent has asked for
-- work.
local function look_at_delayed(item, since)
  if since <= now - unstarted_ms then add('unstarted', item, since) end
end

-- A question stays open when its holder continues, or gives the item up.
local function look_at_asking(item, since)
  add(item.state == 'blocked' and 'blocked' or 'open_question', item, since)
end

return guarded(function()
  if project ~= '' then need_project(project) end
  each(prefix .. 'leases', 'in_progress', share(7), look_at_held)
  each(prefix .. 'waiting', 'waiting', share(6), look_at_waiting)
  each(prefix .. 'unassigned', 'pending', share(5), look_at_pending)
  each(prefix .. 'dead', 'failed', share(4), look_at_failed)
  each(prefix .. 'delayed', 'delayed', share(3), look_at_delayed)
  local max = share(2)
  for _, agent in ipairs(call('ZRANGE', prefix .. 'agents', 0, -1)) do
    each(key('queue', agent), 'queued', max, look_at_queued)
  end
  -- The open questions last: the inbox has them too, and they must not displace the
  -- others.
  each(prefix .. 'questions', '', MAX_VISITED, look_at_asking)
  -- An older version listed its blocked items only in their own index.
  each(prefix .. 'blocked', 'blocked', MAX_VISITED, look_at_asking, prefix .. 'questions')
  return {visited, is_incomplete and '1' or '', found}
end)
