-- Unfinished: steps of any size, done in parts. A call handles a few of the items that a
--             step concerns. If more are left, an entry of the index `unfinished` names
--             the step, and later calls continue it: `release:ITEM` queues the items that
--             waited for it, `close:PROJECT` cancels its open items.

local note_unfinished, release_dependents, continue_unfinished, count_unfinished
-- How a project is closed.
local Closing = {}

do
  -- Items that one call releases or cancels in all: Redis does nothing else during it.
  local MAX_HANDLED = 20
  -- Items that one call looks at to find open ones.
  local MAX_LOOKED_AT = 60
  local NOT_OPEN = {completed = true, cancelled = true}
  local SET_ASIDE = 'inf'

  function note_unfinished(entry)
    leaves_some = true
    call('ZADD', prefix .. 'unfinished', 'NX', now, entry)
  end

  local function drop_unfinished(entry) call('ZREM', prefix .. 'unfinished', entry) end

  -- Dependents ---------------------------------------------------------------------------

  -- Queues items that waited for an item that is completed now, as many as one call may.
  -- They are kept in another set, so that `requeue` finds them. Returns whether some are
  -- left.
  function release_dependents(id)
    local most = MAX_HANDLED - handled
    local dependents = call('SPOP', key('dependents', id), most)
    call_in_chunks('SADD', key('satisfied', id), dependents)
    handled = handled + #dependents
    for _, dependent_id in ipairs(dependents) do
      call('SREM', key('deps', dependent_id), id)
      local dependent = find_item(dependent_id)
      local is_waiting = dependent and dependent.state == 'waiting'
      if is_waiting and call('SCARD', key('deps', dependent_id)) == 0 then
        remove_from_index(dependent)
        enqueue_or_wait(dependent)
        emit('ready', dependent)
      end
    end
    return #dependents == most and call('EXISTS', key('dependents', id)) == 1
  end

  -- An item that was queued again in the meantime is waited for again.
  local function continue_release(id)
    local has_more = state_of(id) == 'completed' and release_dependents(id)
    if not has_more then drop_unfinished('release:' .. id) end
  end

  -- Projects -----------------------------------------------------------------------------

  function Closing.count_open(project)
    local open = 0
    for state in pairs(STATES) do
      local counted = call('HGET', key('project', project), 'n_' .. state)
      if not NOT_OPEN[state] then open = open + (tonumber(counted or 0) or 0) end
    end
    return open
  end

  -- Returns some items of a project before a sequence number, the newest first: the open
  -- ones, and the sequence number of the last one, or nil if there are no more.
  function Closing.open_before(project, sequence)
    local most = MAX_HANDLED - handled
    local page = call('ZRANGE', key('project', project) .. ':items', '(' .. sequence, '-inf',
      'BYSCORE', 'REV', 'LIMIT', 0, MAX_LOOKED_AT, 'WITHSCORES')
    local open = {}
    for i = 1, #page, 2 do
      local item = find_item(page[i])
      if item and not NOT_OPEN[item.state] then table.insert(open, item) end
      if #open == most then return open, page[i + 1] end
    end
    return open, page[2 * MAX_LOOKED_AT]
  end

  -- Cancels items for the agent that closes their project. Returns {{item, numbers of its
  -- questions that this closed} …}.
  local function cancel_items(items, agent, reason)
    local closed = {}
    begin_batch(items)
    for _, item in ipairs(items) do
      Lease.revoke_token(item)
      Question.close_all(item)
      Question.list_closed(item, closed)
      Reports.add(agent, item, 'cancel', 'text', reason)
      local had_failed = item.state == 'failed'
      move(item, 'cancelled')
      emit('cancel', item, unpack(had_failed and {'had_failed', '1'} or {}))
    end
    if batch then write_batch() end
    handled = handled + #items
    return closed
  end

  function Closing.complete(id)
    call('HSET', key('project', id), 'status', 'completed', 'completed_at', now)
    call('HDEL', key('project', id), 'closing_before', 'closing_by', 'closing_reason')
    drop_unfinished('close:' .. id)
    emit('complete_project', {project = id, state = 'completed'})
  end

  function Closing.begin(id, reason)
    call('HSET', key('project', id), 'status', 'closing', 'closing_before', 'inf',
      'closing_by', caller.agent, 'closing_reason', reason)
    note_unfinished('close:' .. id)
  end

  -- Cancels some open items of a project that is closing, and completes it with the last
  -- one. Nothing opens an item of such a project again, so one walk finds all. Returns the
  -- number of items, and their questions as `cancel_items` does.
  function Closing.continue(id)
    local status, before, agent, reason = unpack(call('HMGET', key('project', id), 'status',
      'closing_before', 'closing_by', 'closing_reason'))
    if status ~= 'closing' then
      drop_unfinished('close:' .. id)
      return 0, {}
    end
    local open, last = Closing.open_before(id, before)
    local closed = cancel_items(open, agent, reason)
    if not last or Closing.count_open(id) == 0 then
      Closing.complete(id)
    else
      call('HSET', key('project', id), 'closing_before', last)
    end
    return #open, closed
  end

  -- Any of them --------------------------------------------------------------------------

  local function continue_step(entry)
    local kind, id = string.match(entry, '^(%l+):(.*)$')
    if kind == 'release' then
      continue_release(id)
    elseif kind == 'close' then
      Closing.continue(id)
    else
      drop_unfinished(entry)
    end
  end

  -- Continues the oldest unfinished step, if there is one and this call may do more.
  -- Returns whether there is one, and its entry. A step that a key of another type stops is
  -- set aside, behind all others, for `doctor` to report: the call may be of an agent that
  -- has nothing to do with it.
  function continue_unfinished()
    local entry, since = unpack(call('ZRANGE', prefix .. 'unfinished', 0, 0, 'WITHSCORES'))
    if not entry then return false end
    if since ~= SET_ASIDE and handled < MAX_HANDLED and not survives(continue_step, entry) then
      if batch then survives(write_batch) end
      call('ZADD', prefix .. 'unfinished', SET_ASIDE, entry)
    end
    return true, entry
  end

  -- Returns the number of unfinished steps that calls can continue.
  function count_unfinished()
    local set_aside = call('ZRANGE', prefix .. 'unfinished', SET_ASIDE, SET_ASIDE, 'BYSCORE')
    return call('ZCARD', prefix .. 'unfinished') - #set_aside
  end
end
