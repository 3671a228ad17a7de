-- Purging: the items of a project for which items of another project wait.

-- Returns a dependent that still waits for an item of a completed project, or nil. One
-- that waits for a cancelled item would wait for ever. A cancelled or completed item does
-- not wait, and a completed item has no dependents that wait.
local function find_waiting(dependents)
  for _, dependent in ipairs(dependents) do
    local state = state_of(dependent)
    if state and state ~= 'cancelled' and state ~= 'completed' then return dependent end
  end
end

local function refuse_awaited(project, item, dependent)
  refuse('AWAITED', {project = project, item = item, dependent = dependent})
end
