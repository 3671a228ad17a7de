-- Purging: the items of a project for which items of another project wait.

-- Returns a dependent that still waits for an item of a completed project, or nil: after
-- the purge it would wait for ever. It waits for a cancelled item, or for a completed one
-- whose dependents are not all released yet.
local function find_waiting(dependents)
  for _, dependent in ipairs(dependents) do
    local state = state_of(dependent)
    if state and state ~= 'cancelled' and state ~= 'completed' then return dependent end
  end
end

local function refuse_awaited(project, item, dependent)
  refuse('AWAITED', {project = project, item = item, dependent = dependent})
end
