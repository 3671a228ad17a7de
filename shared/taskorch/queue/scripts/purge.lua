-- purge: removes some items of a completed project with all that belongs to them, and
--        the project itself with the last of them. `awaited` has checked all of them before.
-- KEYS     meta
-- ARGV     7 project, 8 maximum number of items
-- RETURNS  {items left, items removed, keys removed}
-- ERRORS   NO_PROJECT WRONG_STATE AWAITED
local id, limit = ARGV[7], tonumber(ARGV[8])
local project, items = key('project', id), key('project', id) .. ':items'
local removed_items, removed_keys, visited_links = 0, 0, 0
-- Dependencies and dependents that one call visits, about.
local MAX_LINKS = 1000
-- Purged projects that are remembered.
local PURGED_KEPT = 10000

local function remove(...) removed_keys = removed_keys + call('DEL', ...) end

-- Removes the item from a set of another item, which may be of another project.
local function remove_from_set(set, item)
  visited_links = visited_links + 1
  if call('SREM', set, item) == 1 then
    local is_empty = call('EXISTS', set) == 0
    if is_empty then removed_keys = removed_keys + 1 end
  end
end

local function remove_links(item)
  local depends_on = cjson.decode(call('HGET', key('item', item), 'depends_on') or '[]')
  for _, other in ipairs(depends_on) do
    remove_from_set(key('dependents', other), item)
    remove_from_set(key('satisfied', other), item)
  end
  for _, other in ipairs(call('SMEMBERS', key('dependents', item))) do
    remove_from_set(key('deps', other), item)
  end
end

local function remove_item(item)
  remove_links(item)
  for _, agent in ipairs(call('SMEMBERS', key('noted', item))) do
    remove(key('notes', agent .. ':' .. item))
  end
  remove(key('item', item), key('deps', item), key('dependents', item), key('satisfied', item),
    key('progress', item), key('found', item), key('noted', item))
  removed_items = removed_items + 1
end

-- A root whose sync job missed the event of the purge finds the project here.
local function remember_purge()
  local purged = prefix .. 'purged'
  call('ZADD', purged, now, id)
  local surplus = call('ZCARD', purged) - PURGED_KEPT
  if surplus > 0 then call('ZREM', purged, unpack(call('ZRANGE', purged, 0, surplus - 1))) end
end

local function remove_project()
  local plan = call('HGET', project, 'plan')
  if plan and call('HGET', prefix .. 'plans', plan) == id then
    call('HDEL', prefix .. 'plans', plan)
  end
  remove(project, items, key('discoveries', id), key('readers', id), key('questions', id),
    key('archive', id))
  call('ZREM', prefix .. 'projects', id)
  remember_purge()
end

return once(function()
  local status = need_project(id)
  if status ~= 'completed' then refuse_state({id = id, state = status}, 'purge') end
  local part = call('ZRANGE', items, 0, limit - 1)
  refuse_any_awaited(id, part)

  -- The idempotency keys first: none of them may lead to an item that is removed.
  remove(project .. ':keys')
  local visited = 0
  while visited < #part and visited_links < MAX_LINKS do
    visited = visited + 1
    local item = find_item(part[visited])
    local is_ours = item and item.project == id
    if is_ours then remove_from_index(item) end
    if is_ours or not item then remove_item(part[visited]) end
  end
  local left = call('ZCARD', items) - visited
  if left == 0 then
    remove_project()
  else
    call_in_chunks('ZREM', items, {unpack(part, 1, visited)})
  end
  call('HINCRBY', meta, 'purges', 1)
  emit('purge', {project = id, state = left > 0 and status or ''})
  return {left, removed_items, removed_keys}
end, nil, nil, true)
