-- purge: removes a completed project with all that it holds, some items a call, and itself with the last of them.
-- KEYS     meta
-- ARGV     7 project, 8 how many items at most
-- RETURNS  {items left, items removed, keys removed}
-- ERRORS   NO_PROJECT WRONG_STATE AWAITED
local id, limit = ARGV[7], tonumber(ARGV[8])
local project, items = key('project', id), key('project', id) .. ':items'
local removed, keys, links = 0, 0, 0
-- Dependencies and dependents that a call visits, about.
local MOST_LINKS = 1000

local function remove(...) keys = keys + call('DEL', ...) end

-- Who waits for a cancelled item would wait for ever. Who is cancelled or completed does not, and nobody waits for what is
-- completed.
local function refuse_awaited(item)
  for _, dependent in ipairs(call('SMEMBERS', key('dependents', item))) do
    local state = state_of(dependent)
    if state and state ~= 'cancelled' and state ~= 'completed' then
      fail('AWAITED', {project = id, item = item, dependent = dependent})
    end
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

-- Takes the item out of a set that belongs to another one, which may be of another project.
local function take_out(set, item)
  links = links + 1
  if call('SREM', set, item) == 1 then keys = keys + 1 - call('EXISTS', set) end
end

local function part(item)
  for _, other in ipairs(cjson.decode(call('HGET', key('item', item), 'depends_on') or '[]')) do
    take_out(key('dependents', other), item)
    take_out(key('satisfied', other), item)
  end
  for _, other in ipairs(call('SMEMBERS', key('dependents', item))) do take_out(key('deps', other), item) end
end

local function remove_item(item)
  part(item)
  for _, agent in ipairs(call('SMEMBERS', key('noted', item))) do remove(key('notes', agent .. ':' .. item)) end
  remove(key('item', item), key('deps', item), key('dependents', item), key('satisfied', item), key('progress', item),
    key('found', item), key('noted', item))
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
  local seen = 0
  while seen < math.min(limit, #all) and links < MOST_LINKS do
    seen = seen + 1
    local item = find(all[seen])
    if item and item.project == id then leave(item) end
    if not item or item.project == id then remove_item(all[seen]) end
  end
  local left = #all - seen
  if left == 0 then remove_project() else call_with('ZREM', items, {unpack(all, 1, seen)}) end
  call('HINCRBY', KEYS[1], 'purges', 1)
  emit('purge', {project = id, state = left > 0 and status or ''})
  return {left, removed, keys}
end, nil, nil, true)
