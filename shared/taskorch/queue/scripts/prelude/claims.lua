-- Claims: how the first items of the caller's queue, and then of its pools, are claimed, by
--         `claim` and by a verb that settles an item and claims the next ones.

local claim_first, finds_claims_again, claims_of_first_copy, claims_view, claim_next
local pass_wake_tokens_on

do
  -- A repeat finds what its first copy has claimed among the first items of `held`. Items
  -- that are claimed later come behind it. A call keeps its reply if its caller holds more
  -- items than MAX_HELD; the others of MAX_SEARCHED are those of the same millisecond.
  local MAX_HELD, MAX_SEARCHED = 500, 1000

  -- Returns whether a claim leaves the items of a project out: the caller does not see it,
  -- its items are being cancelled, or its budget is used up, which is returned, too. `closing`
  -- has what was read of projects, and is nil if no project can be closing.
  local function is_left_out(project, closing)
    if scope.is_foreign(project) then return true end
    if closing and closing[project] == nil then
      closing[project] = read_hash('project', project, 'HGET', 'status') == 'closing'
    end
    if closing and closing[project] then return true end
    local over = Budget.of_project(project)
    return over ~= nil, over
  end

  -- Adds the first items of a queue to those before them, up to the limit, after those that an
  -- earlier call has passed. Sets whether the queue `has_more`. Returns the number of items that
  -- were left out, of which there may be `most`, and the first budget that has left one out. An
  -- entry whose item is not queued there is dropped, and the queue is read again.
  local function add_first(items, queue, limit, closing, most)
    local name, owner = key('queue', queue.owner), queue.owner
    local skipped, has_dropped, first_over = 0, true, nil
    while has_dropped and skipped < most do
      has_dropped = false
      for _, id in ipairs(call('ZRANGE', name, queue.passed, queue.passed + limit - #items)) do
        if #items == limit then
          queue.has_more = true
          return skipped, first_over
        end
        local item = find_item(id)
        local left_out, over
        if item then left_out, over = is_left_out(item.project, closing) end
        first_over = first_over or over
        if left_out then
          skipped, queue.passed = skipped + 1, queue.passed + 1
          has_dropped = true
        elseif item and item.state == 'queued' and item.owner == owner then
          items[#items + 1] = item
          queue.passed = queue.passed + 1
        else
          call('ZREM', name, id)
          has_dropped = true
        end
      end
    end
    return skipped, first_over
  end

  -- Continues with queues in which too many items were left out, as many as a claim may leave
  -- out in all. Returns whether some items of one were not looked at, and as `add_first` the
  -- first budget.
  local function add_more(items, queues, owners, limit, closing, skipped)
    local is_cut, over = false, nil
    for _, queue in ipairs(queues) do
      local most, left_out, first_over = MAX_SKIPPED - skipped, 0, nil
      if #items < limit then
        left_out, first_over = add_first(items, queue, limit, closing, most)
        if queue.has_more then owners[#owners + 1] = queue.owner end
      end
      skipped, over, is_cut = skipped + left_out, over or first_over, is_cut or left_out >= most
    end
    return is_cut, over
  end

  -- Returns the first items of the caller's queue, and then of its pools, up to the limit; the
  -- owners of the queues that have more; whether some items of a queue were not looked at,
  -- because so many before them were left out; and the first budget that has left one out.
  -- Each queue may leave out an equal part of what those before it have not left out, so that
  -- none of them hides the others; and then, in their order, what is left of all parts.
  local function first_of_queues(limit, closing)
    local items, owners, cut, skipped, is_cut, over = {}, {}, {}, 0, false, nil
    local pools = caller.pools
    for place = 0, #pools do
      local queue = {owner = place == 0 and caller.agent or Owner.of_pool(pools[place]), passed = 0}
      if #items < limit then
        local most = math.max(1, math.floor((MAX_SKIPPED - skipped) / (#pools - place + 1)))
        local left_out, first_over = add_first(items, queue, limit, closing, most)
        skipped, over = skipped + left_out, over or first_over
        if left_out >= most then cut[#cut + 1] = queue end
      else
        queue.has_more = call('EXISTS', key('queue', queue.owner)) == 1
      end
      if queue.has_more then owners[#owners + 1] = queue.owner end
    end
    if #cut > 0 then
      local more_over
      is_cut, more_over = add_more(items, cut, owners, limit, closing, skipped)
      over = over or more_over
    end
    return items, owners, is_cut, over
  end

  local function add_once(owners, owner)
    for _, known in ipairs(owners) do
      if known == owner then return end
    end
    table.insert(owners, owner)
  end

  -- Returns the first items whose packages fit into one reply, at least one. Adds the owners
  -- of the others to those that have more.
  local function that_fit(items, owners)
    local bytes = 0
    for i, item in ipairs(items) do
      bytes = bytes + package_bytes(item)
      if bytes > MAX_REPLY_BYTES and i > 1 then
        for other = i, #items do add_once(owners, items[other].owner) end
        return {unpack(items, 1, i - 1)}
      end
    end
    return items
  end

  -- Wakes a session for each queue that has more: the caller may have taken a wake token of
  -- one queue, and an item of another. At a gateway, it has done so after the event of the
  -- item, if it `has_waited`.
  local function wake_others(owners, has_waited)
    for _, owner in ipairs(owners) do
      wake(owner)
      if has_waited and owner ~= caller.agent then Access.signal('wake', owner) end
    end
  end

  -- Wakes a session for each pool that has items: a caller with a budget that is used up may
  -- have taken a wake token, and leaves them to others.
  local function leave_pools(has_waited)
    local owners = {}
    for _, pool in ipairs(caller.pools) do
      local owner = Owner.of_pool(pool)
      if call('EXISTS', key('queue', owner)) == 1 then table.insert(owners, owner) end
    end
    wake_others(owners, has_waited)
  end

  -- Claims the first items of the caller's queue, and then of its pools, after some leases
  -- were reaped and some items promoted. Returns their receipts; or nil if there are none, and
  -- whether the next call may find some behind those that this one has begun to cancel; then
  -- whether the caller holds so few items that a repeat finds these, and the budget because
  -- of which there are none. `lease` is in ms, or '' for the items' own.
  function claim_first(limit, lease, has_waited)
    seen()
    Owner.join_pools()
    local _, _, held = Lease.maintain(MAX_DUE)
    local closing = continue_unfinished() and {} or nil
    local over = Budget.of_agent(caller.agent)
    if over then
      leave_pools(has_waited)
      return nil, false, false, over
    end
    local items, owners, is_cut
    items, owners, is_cut, over = first_of_queues(limit, closing)
    if #items == 0 then return nil, is_cut and handled > 0, false, over end
    if #items > 1 then items = that_fit(items, owners) end

    begin_batch(items)
    local receipts = {}
    for i, item in ipairs(items) do
      Lease.new_claim(item, lease)
      Lease.set_in_progress(item)
      emit('claim', item)
      receipts[i] = Lease.receipt(item)
    end
    wake_others(owners, has_waited)
    return receipts, false, held < MAX_DUE
  end

  -- The caller, who stops waiting, may have taken the wake token of an item that is still
  -- delayed, or, if it takes none, of any item: another waiter must look at it. A waiter at a
  -- gateway takes no wake token, and learns of it from the signal.
  -- A caller that is confined to a project has left the items of others in its pools.
  function pass_wake_tokens_on(limit)
    for _, owner in ipairs(Owner.of_caller()) do
      local left = tonumber(call('HGET', Owner.counts(owner), 'n_delayed') or 0) or 0
      local may_have_left = limit == 0 or confined ~= '' and owner ~= caller.agent
      if may_have_left then left = left + call('ZCARD', key('queue', owner)) end
      if left > 0 then
        wake(owner)
        Access.signal('wake', owner)
      end
    end
  end

  -- Returns whether a repeat of this call would find the items that it claims.
  function finds_claims_again()
    return call('ZCARD', key('held', caller.agent)) <= MAX_HELD
  end

  -- Returns the receipts of what the first copy of this repeat has claimed, as far as its
  -- caller still holds it, or nil. No client has the tokens yet, so all comments are new.
  function claims_of_first_copy()
    local items = {}
    local held = call('ZRANGE', key('held', caller.agent), 0, MAX_SEARCHED - 1)
    for _, id in ipairs(held) do
      local is_of_request = read_hash('item', id, 'HGET', 'claim') == request
      local item = is_of_request and find_item(id)
      if item and item.agent == caller.agent and is_held(item) then
        table.insert(items, item)
      end
    end
    if #items == 0 then return nil end

    local place = {}
    for i, pool in ipairs(caller.pools) do place[pool] = i end
    table.sort(items, function(one, other)
      local place_of_one, place_of_other = place[one.pool] or 0, place[other.pool] or 0
      if place_of_one ~= place_of_other then return place_of_one < place_of_other end
      return rank(one) < rank(other)
    end)
    local receipts = {}
    for i, item in ipairs(items) do
      item.expires = call('ZSCORE', prefix .. 'leases', item.id) or now
      item.comments_read = ''
      receipts[i] = Lease.receipt(item)
    end
    return receipts
  end

  -- Returns the ms until the next lease or delay ends, or '' if there is none.
  local function ms_until_due()
    local soonest
    for _, schedule in ipairs({'leases', 'delayed'}) do
      local score = tonumber(call('ZRANGE', prefix .. schedule, 0, 0, 'WITHSCORES')[2])
      if score and (not soonest or score < soonest) then soonest = score end
    end
    return soonest and string.format('%d', math.max(0, soonest - now)) or ''
  end

  -- Returns what the caller gets for the receipts of claims: the tokens that may still
  -- act, with the packages, and '' or the ms until the queue may have an item. All tokens
  -- of `are_new`, claims of this call, may act.
  function claims_view(receipts, are_new)
    if not receipts or #receipts == 0 then return {}, ms_until_due() end
    local claims = {}
    for i, claimed in ipairs(receipts) do
      local id, token, expires = claimed[1], claimed[2], claimed[3]
      local live = are_new and token or Lease.token_if_live(id, token)
      local known = are_new and expires or nil
      claims[i] = {id, live, expires, package_view(id, known), claimed[9] or {}}
    end
    return claims, ''
  end

  -- Claims the caller's next items after a step that has settled one. Returns a list of
  -- their receipts, empty if the queue is empty.
  function claim_next(limit, lease)
    if batch then write_batch() end
    return (claim_first(limit, lease)) or {}
  end
end
