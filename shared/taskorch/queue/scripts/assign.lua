-- assign: gives items to an agent or to a pool, all or none: each is queued, or waits for
--         a dependency.
-- KEYS     meta
-- ARGV     7 agent, or 'pool:' and a pool, 8 context as JSON or '', 9 resources as JSON or
--          '', 10 '1' to take them from their holders, then items
-- RETURNS  {{{item id, project, agent, state, the agent or 'pool:' and the pool that had it,
--          or ''} …}, '1' if the namespace did not know the agent, or if no agent takes items
--          from the pool, else '', {the other agents then, the last callers first; or the
--          other pools}}
-- ERRORS   NO_ITEM WRONG_STATE HELD TOO_MANY TOO_LARGE
local FIRST = 11
local NOT_ASSIGNED = {review = true, completed = true, failed = true, cancelled = true}
local owner, context, resources, force = ARGV[7], ARGV[8], ARGV[9], ARGV[10] ~= ''
local pool = Owner.pool_of(owner) or ''
local agent = pool == '' and owner or ''

local function with_context(id)
  local before = call('HGET', key('item', id), 'context') or ''
  local _, document = editing.merged_context(id, before, {['context+'] = context})
  return document
end

local function with_resources(id)
  local before = editing.parsed(call('HGET', key('item', id), 'resources') or '[]')
  local all = editing.target_list(before, {['resources+'] = resources}, 'resources')
  if #all > MAX_VALUES then
    refuse('TOO_MANY', {item = id, what = 'resources', most = MAX_VALUES})
  end
  return cjson.encode(all)
end

local function add_change(item, field, value)
  table.insert(item.changes, field)
  table.insert(item.changes, value)
end

-- Returns whether an item is where it is to be. A pool keeps what one of its agents works on.
local function is_there(item)
  if pool ~= '' then return item.pool == pool end
  return item.agent == agent
end

local function check(item)
  if NOT_ASSIGNED[item.state] then refuse_state(item, 'assign') end
  item.keeps_owner = is_there(item) and not force
  if is_held(item) and not item.keeps_owner and not force then Lease.refuse_held(item) end
  local is_taken = item.state == 'in_progress' or item.state == 'blocked'
  item.loses_holder = is_taken and not item.keeps_owner
  item.changes = {}
  if context ~= '' then add_change(item, 'context', with_context(item.id)) end
  if resources ~= '' then add_change(item, 'resources', with_resources(item.id)) end
  if #item.changes > 0 then refuse_growth(item.id, item.changes) end
  if item.keeps_owner then
    local names = {}
    for i = 1, #item.changes, 2 do table.insert(names, item.changes[i]) end
    if #names > 0 then editing.tell_holder(item, names, item.changes) end
  end
end

-- The item itself has only its newest assignment. If there was one before, both are in
-- its history.
local function report_assignment(item, previous)
  if previous == '' then return end
  local by, at, created_by, created_at = unpack(call('HMGET', key('item', item.id),
    'assigned_by', 'assigned_at', 'created_by', 'created_at'))
  report(item, 'assign', 'to', owner, 'from', previous, 'from_by', by or created_by or '',
    'from_at', at or created_at or '')
end

local function reassign(item)
  local previous = item.owner
  remove_from_index(item)
  if item.loses_holder then
    Reports.add_end(item.agent, item, 'lost', 'text', 'taken away by ' .. caller.agent)
    Lease.undo_attempt(item)
  end
  Lease.revoke_token(item)
  report_assignment(item, previous)
  item.agent, item.pool = agent, pool
  item.seq = next_sequence()
  item.changes = {'seq', item.seq, 'assigned_at', now, 'assigned_by', caller.agent,
    unpack(item.changes)}
  enqueue_or_wait(item)
end

-- The agents, or the pools, that an assignment to an unknown one may have meant.
local function others()
  if pool == '' then return Owner.besides('agents', {agent}) end
  return Owner.besides('pools', {pool})
end

return once(function()
  local items = need_items(FIRST, 1, #ARGV)
  for _, item in ipairs(items) do
    check(item)
    editing.refuse_many_bytes(item.id, #items)
  end
  local named = Access.need_agents({owner})

  begin_batch(items)
  Access.add_agents(named)
  local is_new = Owner.add(owner)
  local rows = {}
  for i, item in ipairs(items) do
    local previous = item.owner
    if not item.keeps_owner then
      reassign(item)
    elseif pool == '' then
      item.pool = ''
    end
    local since = changed_at(item.id, item)
    local event = emit('assign', item, unpack(item.changes))
    if item.keeps_owner then keep_since(item, event, since) end
    rows[i] = {item.id, item.project, item.agent, item.state, previous}
  end
  return {rows, is_new and '1' or ''}
end, function(reply)
  -- An older version kept only the rows.
  if type(reply[1][1]) == 'string' then reply = {reply, ''} end
  local rows, is_new = reply[1], reply[2]
  return {rows, is_new, is_new ~= '' and others() or {}}
end)
