-- stuck: a part of the stalled items, and why. The kinds of items follow each other in the
--        order of KINDS; a call visits a bounded number of items and agents.
-- KEYS     meta
-- ARGV     7 ms that an item is queued before it counts, 8 ms without a step of its
--          holder before it counts, 9 project or '' for all, 10 cursor or '' to begin,
--          11 maximum number of items
-- RETURNS  {cursor, or '' at the end, items looked at, {{why, since ms, agent last seen ms,
--          dead dependency or '', why it failed, or the words of the budget that is used
--          up, or '', item view, '1' if the requeue that helps has to reopen a project,
--          else ''} …}}
-- ERRORS   NO_PROJECT
local MAX_STEPS, MAX_BYTES, STEP = 45, 524288, 100
local unstarted_ms, silent_ms = tonumber(ARGV[7]), tonumber(ARGV[8])
local project, cursor, limit = scope.project_or_own(ARGV[9]), ARGV[10], tonumber(ARGV[11])
local found, visited, steps, bytes = {}, 0, 0, 0

local function add(why, item, since, dependency, reason, is_reopening)
  local last_seen = call('ZSCORE', prefix .. 'agents', item.agent) or '0'
  local view = View.item(item.id)
  bytes = bytes + bytes_of(view) + #(reason or '')
  table.insert(found, {why, string.format('%d', since), last_seen, dependency or '', reason or '',
    view, is_reopening or ''})
end

local function has_enough() return #found == limit or bytes >= MAX_BYTES end

-- Calls `look` for the items of an index from a rank on, in their order. An item in
-- another state ('' for any), or of another project, is skipped; one that is listed in
-- `but` is not visited. Returns the rank at which the call is full, or nil at the end.
local function each(index, state, look, from, but)
  while true do
    local page = call('ZRANGE', index, from, from + STEP - 1, 'WITHSCORES')
    for i = 1, #page, 2 do
      local is_listed = but and call('ZSCORE', but, page[i])
      if steps >= MAX_STEPS or not is_listed and has_enough() then return from end
      steps, from = steps + 1, from + 1
      if not is_listed then
        visited = visited + 1
        local item = find_item(page[i])
        local is_wanted = item and (project == '' or item.project == project)
        if is_wanted and (item.state == state or state == '') then
          look(item, tonumber(page[i + 1]))
        end
      end
    end
    if #page < 2 * STEP then return nil end
  end
end

local function look_at_held(item, expires)
  local last_step = Lease.last_step_at(item, expires)
  if expires <= now then
    add('expired', item, expires)
  elseif last_step <= now - silent_ms then
    add('silent', item, last_step)
  end
end

local function look_at_waiting(item, since)
  local dependencies = read_hash('deps', item.id, 'SMEMBERS') or {}
  steps = steps + #dependencies
  for _, dependency in ipairs(dependencies) do
    local state = read_hash('item', dependency, 'HGET', 'state')
    if state == 'failed' or state == 'cancelled' then
      return add('dead_dependency', item, since, dependency, '', Project.reopens(dependency))
    end
  end
end

-- The index of pending items has their order as its scores, and no time.
local function look_at_pending(item) look_at_waiting(item, changed_at(item.id)) end

-- What the agent stated is in the report that ended its last attempt. After an expired lease
-- there is no text.
local function look_at_failed(item, since)
  local ended = View.end_of_dead(item.id, since)
  add('failed', item, since, '', ended and value_of(ended[2], 'text'), Project.reopens(item.id))
end

-- Of the items of an agent that a budget holds up, a call reports the first one.
local held_up = {}

local function look_at_queued(item)
  local since, over = changed_at(item.id), Budget.of_item(item)
  if over then
    local which = item.agent .. ' ' .. over[1]
    if not held_up[which] then add('over_budget', item, since, '', table.concat(over, ' ')) end
    held_up[which] = true
    return
  end
  if since <= now - unstarted_ms then add('unstarted', item, since) end
end

-- If the delay has ended and no call has queued the item yet, no agent has asked for
-- work.
local function look_at_delayed(item, since)
  if since <= now - unstarted_ms then add('unstarted', item, since) end
end

local function look_at_review(item, since) add('review', item, since) end

-- A question stays open when its holder continues, or gives the item up.
local function look_at_asking(item, since)
  add(item.state == 'blocked' and 'blocked' or 'open_question', item, since)
end

-- Returns the rank of the agent at which the last call stopped. One that called in the
-- meantime is at the end now: then the walk goes on where that agent was.
local function rank_of(agent, last_seen)
  local agents = prefix .. 'agents'
  if call('ZSCORE', agents, agent) == last_seen then return call('ZRANK', agents, agent) end
  local next_agent = call('ZRANGE', agents, last_seen, '+inf', 'BYSCORE', 'LIMIT', 0, 1)[1]
  return call('ZRANK', agents, next_agent or '') or call('ZCARD', agents)
end

-- Returns what looks at the items of a pool: all are stuck if no agent takes items from it.
local function look_at_pool(pool)
  if call('EXISTS', key('members', pool)) == 1 then return look_at_queued end
  return function(item) add('pool_without_agents', item, changed_at(item.id)) end
end

-- Visits the queues of the pools, each of which counts as a step. Returns a cursor, or nil at
-- the end.
local function each_pool(from, _, first)
  local rank = first ~= '' and call('ZRANK', prefix .. 'pools', first) or 0
  while true do
    local page = call('ZRANGE', prefix .. 'pools', rank, rank + STEP - 1)
    for _, pool in ipairs(page) do
      steps = steps + 1
      local queue = key('queue', Owner.of_pool(pool))
      local stopped_at = each(queue, 'queued', look_at_pool(pool), pool == first and from or 0)
      if not stopped_at and steps >= MAX_STEPS then stopped_at = call('ZCARD', queue) end
      if stopped_at then return string.format('%d::%s', stopped_at, pool) end
    end
    if #page < STEP then return nil end
    rank = rank + STEP
  end
end

-- Visits the queues of the agents. An agent counts as a step, so that many empty queues
-- end the call too. Returns a cursor, or nil at the end.
local function each_queue(from, last_seen, first)
  local rank = first ~= '' and rank_of(first, last_seen) or 0
  while true do
    local page = call('ZRANGE', prefix .. 'agents', rank, rank + STEP - 1, 'WITHSCORES')
    for i = 1, #page, 2 do
      local agent, seen_at = page[i], page[i + 1]
      steps = steps + 1
      local stopped_at = each(key('queue', agent), 'queued', look_at_queued,
        agent == first and from or 0)
      if not stopped_at and steps >= MAX_STEPS then
        stopped_at = call('ZCARD', key('queue', agent))
      end
      if stopped_at then return string.format('%d:%s:%s', stopped_at, seen_at, agent) end
    end
    if #page < 2 * STEP then return nil end
    rank = rank + STEP
  end
end

local function of_index(index, state, look, but)
  return function(from)
    local stopped_at = each(prefix .. index, state, look, from, but)
    return stopped_at and string.format('%d::', stopped_at)
  end
end

-- The open questions and the reviews are the last: the inbox has them too, and they must not
-- displace the others. An older version listed its blocked items only in their own index.
local KINDS = {
  {'leases', of_index('leases', 'in_progress', look_at_held)},
  {'waiting', of_index('waiting', 'waiting', look_at_waiting)},
  {'unassigned', of_index('unassigned', 'pending', look_at_pending)},
  {'dead', of_index('dead', 'failed', look_at_failed)},
  {'delayed', of_index('delayed', 'delayed', look_at_delayed)},
  {'queue', each_queue},
  {'pool', each_pool},
  {'questions', of_index('questions', '', look_at_asking)},
  {'blocked', of_index('blocked', 'blocked', look_at_asking, prefix .. 'questions')},
  {'reviews', of_index('reviews', 'review', look_at_review)},
}

return guarded(function()
  if project ~= '' then Project.need(project) end
  local first, from, last_seen, agent = string.match(cursor, '^(%l+):(%d+):([^:]*):(.*)$')
  local has_begun = not first
  for _, kind in ipairs(KINDS) do
    local name, visit = kind[1], kind[2]
    local stopped_at
    if name == first then
      has_begun = true
      stopped_at = visit(tonumber(from), last_seen, agent)
    elseif has_begun then
      stopped_at = visit(0, '', '')
    end
    if stopped_at then return {name .. ':' .. stopped_at, visited, found} end
  end
  return {'', visited, found}
end)
