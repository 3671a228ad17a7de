-- Purging: the items of a project for which items of another project wait.

-- An item of another project that waits for a cancelled one would wait for ever. A
-- cancelled or completed item does not wait, and a completed item has no dependents
-- that wait.
local function refuse_awaited(project, item)
  for _, dependent in ipairs(call('SMEMBERS', key('dependents', item))) do
    local state = state_of(dependent)
    if state and state ~= 'cancelled' and state ~= 'completed' then
      refuse('AWAITED', {project = project, item = item, dependent = dependent})
    end
  end
end

-- As a rule no item has dependents, so one EXISTS asks about many items.
local function refuse_any_awaited(project, items)
  for from = 1, #items, CHUNK do
    local chunk, sets = {unpack(items, from, math.min(from + CHUNK - 1, #items))}, {}
    for i, item in ipairs(chunk) do sets[i] = key('dependents', item) end
    if call('EXISTS', unpack(sets)) > 0 then
      for _, item in ipairs(chunk) do refuse_awaited(project, item) end
    end
  end
end
