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
local MAX_LINKS = 120
-- Purged projects that are remembered.
local PURGED_KEPT = 10000

-- A thread of the server frees what UNLINK removes; DEL of a large key takes a while.
local may_unlink = not redis.acl_check_cmd or redis.acl_check_cmd('UNLINK', meta)
local removal = may_unlink and 'UNLINK' or 'DEL'

local function remove(...) removed_keys = removed_keys + call(removal, ...) end

-- Removes the item from a set of another item, which may be of another project.
local function remove_from_set(set, item)
  if call('SREM', set, item) == 1 then
    local is_empty = call('EXISTS', set) == 0
    if is_empty then removed_keys = removed_keys + 1 end
  end
end

-- Takes some dependents out of their set, so that the next call finds others. Returns
-- them, and whether they were the last.
local function take_dependents(item)
  local set = key('dependents', item)
  local dependents = call('SPOP', set, math.max(1, MAX_LINKS - visited_links))
  visited_links = visited_links + #dependents
  local is_last = call('EXISTS', set) == 0
  if is_last and #dependents > 0 then removed_keys = removed_keys + 1 end
  return dependents, is_last
end

-- Takes the links of an item, unless it is of another project and in the list by mistake.
local function take_links(name)
  local item = find_item(name)
  if item and item.project ~= id then return {name = name, is_whole = true} end
  local depends_on = parse_ids(call('HGET', key('item', name), 'depends_on'))
  visited_links = visited_links + #depends_on
  local dependents, is_whole = take_dependents(name)
  return {name = name, item = item, is_ours = true, depends_on = depends_on,
    dependents = dependents, is_whole = is_whole}
end

-- Takes the links of some items, and gives all back before it refuses.
local function take_part(names)
  local part = {}
  for _, name in ipairs(names) do
    local links = take_links(name)
    table.insert(part, links)
    local waiting = find_waiting(links.dependents or {})
    if waiting then
      for _, taken in ipairs(part) do
        call_in_chunks('SADD', key('dependents', taken.name), taken.dependents or {})
      end
      refuse_awaited(id, name, waiting)
    end
    if visited_links >= MAX_LINKS then break end
  end
  return part
end

local function remove_links(links)
  for _, other in ipairs(links.dependents) do
    remove_from_set(key('deps', other), links.name)
  end
  if not links.is_whole then return end
  for _, other in ipairs(links.depends_on) do
    remove_from_set(key('dependents', other), links.name)
    remove_from_set(key('satisfied', other), links.name)
  end
end

local function remove_item(item)
  for _, agent in ipairs(call('SMEMBERS', key('noted', item))) do
    remove(key('notes', agent .. ':' .. item))
  end
  Usage.forget_item(item, id)
  remove(key('item', item), key('deps', item), key('satisfied', item), key('progress', item),
    key('found', item), key('noted', item))
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
    key('archive', id), Usage.of('project:' .. id))
  Budget.forget('project:' .. id)
  call('ZREM', prefix .. 'projects', id)
  remember_purge()
end

return once(function()
  local status = Project.need(id)
  if status ~= 'completed' then refuse_state({id = id, state = status}, 'purge') end
  local part = take_part(call('ZRANGE', items, 0, limit - 1))

  -- The idempotency keys first: none of them may lead to an item that is removed.
  remove(project .. ':keys')
  local done = {}
  for _, links in ipairs(part) do
    if links.is_ours then remove_links(links) end
    if links.is_whole then
      if links.item then
        remove_from_index(links.item)
        Access.count_item(links.item, links.item.state, nil)
      end
      if links.is_ours then remove_item(links.name) end
      table.insert(done, links.name)
    end
  end
  local left = call('ZCARD', items) - #done
  if left == 0 then
    remove_project()
  else
    call_in_chunks('ZREM', items, done)
  end
  call('HINCRBY', meta, 'purges', 1)
  emit('purge', {project = id, state = left > 0 and status or ''})
  return {left, removed_items, removed_keys}
end, nil, nil, true)
