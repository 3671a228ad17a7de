-- purge: removes a completed project with all that it holds, some items a call, and itself with the last of them.
-- KEYS     meta
-- ARGV     7 project, 8 how many items at most
-- RETURNS  {items left, items removed, keys removed}
-- ERRORS   NO_PROJECT WRONG_STATE AWAITED
local id, limit = ARGV[7], tonumber(ARGV[8])
local project, items = key('project', id), key('project', id) .. ':items'
local removed, keys = 0, 0

local function remove(...) keys = keys + call('DEL', ...) end

-- Who waits for a cancelled item would wait for ever. Who is cancelled too does not, and nobody waits for what is completed.
local function refuse_awaited(item)
  for _, dependent in ipairs(call('SMEMBERS', key('dependents', item))) do
    local state = call('HGET', key('item', dependent), 'state')
    if state and state ~= 'cancelled' then fail('AWAITED', {project = id, item = item, dependent = dependent}) end
  end
end

-- As a rule there are no such sets: it asks for many at once.
local function refuse_any_awaited(all)
  for from = 1, #all, AT_ONCE do
    local some, sets = {unpack(all, from, math.min(from + AT_ONCE - 1, #all))}, {}
    for i, item in ipairs(some) do sets[i] = key('dependents', item) end
    if call('EXISTS', unpack(sets)) > 0 then
      for _, item in ipairs(some) do refuse_awaited(item) end
    end
  end
end

-- The other side of the sets of dependencies may be with another project.
local function part(item, mine, theirs)
  for _, other in ipairs(call('SMEMBERS', key(mine, item))) do
    call('SREM', key(theirs, other), item)
    keys = keys + 1 - call('EXISTS', key(theirs, other))
  end
end

local function remove_item(item)
  part(item, 'deps', 'dependents')
  part(item, 'dependents', 'deps')
  for _, agent in ipairs(call('SMEMBERS', key('noted', item))) do remove(key('notes', agent .. ':' .. item)) end
  remove(key('item', item), key('deps', item), key('dependents', item), key('progress', item), key('found', item),
    key('noted', item))
  removed = removed + 1
end

local function remove_project()
  local plan = call('HGET', project, 'plan')
  if plan and call('HGET', prefix .. 'plans', plan) == id then call('HDEL', prefix .. 'plans', plan) end
  remove(project, items, key('discoveries', id))
  call('ZREM', prefix .. 'projects', id)
end

return once(function()
  local status = need_project(id)
  if status ~= 'completed' then wrong_state({id = id, state = status}, 'purge') end
  local all = call('ZRANGE', items, 0, -1)
  refuse_any_awaited(all)

  remove(project .. ':keys') -- first, for no key may lead to an item that is gone
  for i = 1, math.min(limit, #all) do
    local item = find(all[i])
    if item and item.project == id then leave(item) end
    if not item or item.project == id then remove_item(all[i]) end
    if #all > limit then call('ZREM', items, all[i]) end
  end
  local left = math.max(0, #all - limit)
  if left == 0 then remove_project() end
  call('HINCRBY', KEYS[1], 'purges', 1)
  emit('purge', {project = id, state = left > 0 and status or ''})
  return {left, removed, keys}
end, nil, nil, true)
