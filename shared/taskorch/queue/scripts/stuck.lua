-- stuck: the items that do not go on by themselves, and why. It looks at a bounded number of items.
-- KEYS     meta
-- ARGV     7 unstarted for so many ms, 8 silent for so many ms, 9 project or '' for all, 10 how many at most
-- RETURNS  {items looked at, '1' if there was more to look at or to return, else '',
--          {{why, since ms, agent last seen ms, dead dependency or '', why it failed or '', item view} …}}
-- ERRORS   NO_PROJECT
local MOST_VISITED, STEP = 5000, 200
local unstarted_ms, silent_ms, project, limit = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[10])
local found, visited, more = {}, 0, false

local function add(why, item, since, dependency, reason)
  local seen = call('ZSCORE', prefix .. 'agents', item.agent) or '0'
  table.insert(found, {why, string.format('%d', since), seen, dependency or '', reason or '', item_view(item.id)})
end

-- How far one of `kinds` may go that are still to be looked at: none may leave the others nothing.
local function share(kinds) return visited + math.floor((MOST_VISITED - visited) / kinds) end

-- Looks at the entries of an index in their order; an item in another state, or of another project, is passed over.
local function each(index, state, most, look)
  local at = 0
  while true do
    local page = call('ZRANGE', index, at, at + STEP - 1, 'WITHSCORES')
    for i = 1, #page, 2 do
      if visited >= most or #found == limit then
        more = true
        return
      end
      visited = visited + 1
      local item = find(page[i])
      if item and item.state == state and (project == '' or item.project == project) then
        look(item, tonumber(page[i + 1]))
      end
    end
    if #page < 2 * STEP then return end
    at = at + STEP
  end
end

local function held(item, expires)
  local heard = heard_of(item, expires)
  if expires <= now then add('expired', item, expires)
  elseif heard <= now - silent_ms then add('silent', item, heard) end
end

local function waiting(item, since)
  for _, dependency in ipairs(call('SMEMBERS', key('deps', item.id))) do
    local state = call('HGET', key('item', dependency), 'state')
    if state == 'failed' or state == 'cancelled' then return add('dead_dependency', item, since, dependency) end
  end
end

local function changed_at(item)
  local event = call('HGET', key('item', item.id), 'event') or ''
  return tonumber(string.match(event, '^(%d+)-%d+$') or now)
end

-- The index of those that nobody is assigned to is in their order, and tells no time.
local function pending(item) waiting(item, changed_at(item)) end

-- What its agent said is in its newest report; a lease that ran out says nothing.
local function failed(item, since)
  local report = call('XREVRANGE', key('progress', item.id), '+', '-', 'COUNT', 1)[1]
  add('failed', item, since, '', report and value_of(report[2], 'text'))
end

-- What brought it onto the queue is its newest event.
local function queued(item)
  local since = changed_at(item)
  if since <= now - unstarted_ms then add('unstarted', item, since) end
end

-- Its delay is over, and no call has put it onto the queue yet: so nobody has asked for work.
local function due(item, since)
  if since <= now - unstarted_ms then add('unstarted', item, since) end
end

return guarded(function()
  if project ~= '' then need_project(project) end
  each(prefix .. 'leases', 'in_progress', share(7), held)
  each(prefix .. 'waiting', 'waiting', share(6), waiting)
  each(prefix .. 'unassigned', 'pending', share(5), pending)
  each(prefix .. 'dead', 'failed', share(4), failed)
  each(prefix .. 'delayed', 'delayed', share(3), due)
  local most = share(2)
  for _, agent in ipairs(call('ZRANGE', prefix .. 'agents', 0, -1)) do
    each(key('queue', agent), 'queued', most, queued)
  end
  -- The blocked ones last: they stand in the inbox, too, and must not take the places of the others.
  each(prefix .. 'blocked', 'blocked', MOST_VISITED, function(item, since) add('blocked', item, since) end)
  return {visited, more and '1' or '', found}
end)
