-- Rows: what people read of items and pools in one view: a line each, with texts that are cut.

local Rows = {}

do
  -- What a call reads of pools: a pool counts as POOL_STEPS, a queue as QUEUE_STEPS.
  local POOL_STEPS, QUEUE_STEPS = 8, 6
  -- Items in a queue that are looked at for one of the caller's project, and agents of a pool
  -- that are shown.
  local MAX_QUEUED, MAX_MEMBERS_SHOWN = 20, 20
  Rows.MAX_STEPS = 150

  -- Returns what the functions below share in a call: the steps so far, and the titles that
  -- were read.
  function Rows.begin() return {steps = 0, titles = {}} end

  -- Returns whether a call may go on after its first row.
  function Rows.has_room(reading) return reading.steps < Rows.MAX_STEPS and View.has_room() end

  function Rows.start_of(text) return Question.start_of(text or '') end

  -- Returns the title of an item or a project, '' if it is gone or damaged.
  function Rows.title(reading, kind, id)
    local titles = reading.titles
    if not titles[id] then
      titles[id] = Rows.start_of(read_hash(kind, id, 'HGET', 'title') or '')
    end
    return titles[id]
  end

  -- Returns the fields of an item that every row has, and `more`.
  function Rows.item(reading, item, more)
    more.project, more.agent, more.state = item.project, item.agent, item.state
    if item.pool ~= '' then more.pool = item.pool end
    more.generation = call('HGET', key('item', item.id), 'generation') or 0
    more.title = Rows.title(reading, 'item', item.id)
    more.project_title = Rows.title(reading, 'project', item.project)
    local words = {}
    for name, value in pairs(more) do
      table.insert(words, name)
      table.insert(words, tostring(value))
    end
    return words
  end

  -- Returns the row of the first item in the queue of an owner, if it is to be shown, the
  -- number of items in it, and since when (ms) the oldest one is, or ''.
  function Rows.queued(reading, owner, is_shown)
    local queue = key('queue', owner)
    local count = call('ZCARD', queue)
    if count == 0 then return {}, 0, '' end
    reading.steps = reading.steps + QUEUE_STEPS
    local first, own, since = nil, 0, nil
    local most = confined ~= '' and MAX_QUEUED or is_shown and 1 or 0
    for _, id in ipairs(most > 0 and call('ZRANGE', queue, 0, most - 1) or {}) do
      local item = find_item(id)
      if item and item.state == 'queued' and not scope.is_foreign(item.project) then
        first, own = first or item, own + 1
        since = since or changed_at(id, item)
      end
    end
    local oldest = confined == '' and View.queued_since(queue)
      or since and string.format('%d', since) or ''
    local row = is_shown and first and {first.id, Rows.item(reading, first, {})} or {}
    return row, confined == '' and count or own, oldest
  end

  -- Returns the numbers of items of a pool that are delayed and that wait; of a caller's
  -- project alone they are not known.
  local function later_in(owner)
    if confined ~= '' then return 0, 0 end
    local kept = call('HMGET', Owner.counts(owner), 'n_delayed', 'n_waiting')
    return tonumber(kept[1] or 0) or 0, tonumber(kept[2] or 0) or 0
  end

  local function members_of(pool)
    local members = {}
    for _, agent in ipairs(call('ZRANGE', key('members', pool), 0, MAX_MEMBERS_SHOWN - 1)) do
      table.insert(members, {agent, call('ZSCORE', prefix .. 'agents', agent) or '0'})
    end
    return members
  end

  -- Returns the number of pools to skip next time or '', and rows of some pools: {pool, {number
  -- queued, delayed, waiting for dependencies}, since when the oldest of the first is in ms or
  -- '', {item, {field, value …}} or {} of the first, number of agents that take items from it,
  -- {{agent, last call in ms} …} some of them}. To a caller that is confined to a project, the
  -- pools that have queued items of it.
  function Rows.pools(reading, skip, limit)
    local rows = {}
    local pools = call('ZRANGE', prefix .. 'pools', skip, skip + limit - 1)
    for i, pool in ipairs(pools) do
      if i > 1 and not Rows.has_room(reading) then
        return string.format('%d', skip + i - 1), rows
      end
      reading.steps = reading.steps + POOL_STEPS
      local owner = Owner.of_pool(pool)
      local first, queued, since = Rows.queued(reading, owner, true)
      if confined == '' or queued > 0 then
        table.insert(rows, {pool, {queued, later_in(owner)}, since, first,
          call('ZCARD', key('members', pool)), members_of(pool)})
      end
    end
    return #pools == limit and string.format('%d', skip + limit) or '', rows
  end
end
