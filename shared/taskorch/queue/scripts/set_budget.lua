-- set_budget: sets or removes a budget, and wakes agents that wait because of one.
-- KEYS     meta
-- ARGV     7 owner: 'namespace', 'project:<id>', 'agent:<name>', or '' to wake more agents
--          only, 8 'day' or 'total', 9 microdollars or '-', 10 tokens or '-'; '-' for both
--          removes the budget
-- RETURNS  {'1' if there was a budget before, else '', '1' if more agents are to be woken,
--          else '', ms when the day ends, the budgets of the owner as they are now: rows like
--          those of `budgets`}
-- ERRORS   NO_PROJECT NO_AGENT NOT_ALLOWED TOO_MANY
local owner, period, cost, tokens = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local MAX_BUDGETS, MAX_WOKEN = 2000, 200

local function write(budgets, field)
  if cost == '-' and tokens == '-' then
    local removed = call('HDEL', budgets, field)
    if call('EXISTS', budgets) == 0 then call('HDEL', meta, 'budgets') end
    return removed == 1
  end
  local is_new = call('HSET', budgets, field, cost .. ' ' .. tokens) == 1
  Budget.note(owner)
  return not is_new
end

-- Wakes some of the agents that wait. Returns whether there are more.
local function wake_waiting()
  local waiters = prefix .. 'budget_waiters'
  local agents = call('ZRANGE', waiters, 0, MAX_WOKEN - 1)
  for _, agent in ipairs(agents) do
    wake(agent)
    Access.signal('wake', agent)
  end
  call_in_chunks('ZREM', waiters, agents)
  return call('EXISTS', waiters) == 1
end

return once(function()
  local budgets, field = prefix .. 'budgets', owner .. ':' .. period
  local was_set = false
  if owner ~= '' then
    Usage.need_owner(owner)
    local is_new = not call('HGET', budgets, field)
    if is_new and #call('HGETALL', budgets) >= 2 * MAX_BUDGETS then
      refuse('TOO_MANY', {item = owner, what = 'budgets', most = MAX_BUDGETS})
    end
    was_set = write(budgets, field)
    Access.signal('view', owner)
  end
  return {was_set and '1' or '', wake_waiting() and '1' or ''}
end, function(reply)
  local was_set, has_more = unpack(reply)
  local rows = owner ~= '' and BudgetRow.of_owner(owner) or {}
  return {was_set, has_more, BudgetRow.day_ends(), rows}
end)
