-- awaited: checks some items of a completed project that is to be purged: no item of
--          another project may wait for one.
-- KEYS     meta
-- ARGV     7 project, 8 cursor: number of items to skip, and for an item with many
--          dependents ':' and a cursor among them, 9 maximum number of items
-- RETURNS  next cursor, or '' at the end
-- ERRORS   NO_PROJECT WRONG_STATE AWAITED
local MAX_LOOKED_AT, SCANNED = 400, 100
local looked_at = 0

-- Checks some dependents of an item. Returns a cursor among them, '0' at the end.
local function check_some(project, item, cursor)
  local next_cursor, dependents = unpack(call('SSCAN', key('dependents', item), cursor,
    'COUNT', SCANNED))
  local waiting = find_waiting(dependents)
  if waiting then refuse_awaited(project, item, waiting) end
  looked_at = looked_at + #dependents
  return next_cursor
end

-- As a rule no item has dependents, so one EXISTS asks about many items.
local function have_dependents(items)
  for from = 1, #items, CHUNK do
    local sets = {}
    for i = from, math.min(from + CHUNK - 1, #items) do
      table.insert(sets, key('dependents', items[i]))
    end
    if call('EXISTS', unpack(sets)) > 0 then return true end
  end
end

-- Returns the number of items that are done, and the cursor among the dependents of the
-- next one.
local function check_items(project, items, cursor)
  if not have_dependents(items) then return #items, '0' end
  for done, item in ipairs(items) do
    repeat
      if looked_at >= MAX_LOOKED_AT then return done - 1, cursor end
      cursor = check_some(project, item, cursor)
    until cursor == '0'
  end
  return #items, '0'
end

return guarded(function()
  local id, limit = ARGV[7], tonumber(ARGV[9])
  local skip, cursor = string.match(ARGV[8], '^(%d+):?(%d*)$')
  local status = Project.need(id)
  if status ~= 'completed' then refuse_state({id = id, state = status}, 'purge') end
  local page = call('ZRANGE', key('project', id) .. ':items', skip, skip + limit - 1)
  local done, next_cursor = check_items(id, page, cursor ~= '' and cursor or '0')
  if done == limit or done < #page then
    return string.format('%d:%s', skip + done, next_cursor)
  end
  return ''
end)
