-- Listed budgets: what the scripts that show budgets return of each.

local BudgetRow = {}

-- Returns {owner, 'day' or 'total', microdollars or '-', tokens or '-', four numbers that are
-- used in the period, as one text} of a field of `budgets`; nil if it is damaged, or the caller
-- does not see it.
function BudgetRow.of(field, value)
  local owner, period = string.match(field, '^(.*):(%l+)$')
  local cost, tokens = string.match(value or '', '^(%S+) (%S+)$')
  if not (owner and cost) then return nil end
  if confined ~= '' and owner ~= 'project:' .. confined then return nil end
  local place = period == 'day' and 'day:' .. Usage.today() or period
  local used = redis.pcall('HGET', Usage.of(owner), place)
  if type(used) == 'table' then used = '' end
  return {owner, period, cost, tokens, Usage.text(Usage.numbers(used))}
end

-- Returns the rows of an owner.
function BudgetRow.of_owner(owner)
  local rows, periods = {}, {'day', 'total'}
  for _, period in ipairs(periods) do
    local field = owner .. ':' .. period
    table.insert(rows, BudgetRow.of(field, call('HGET', prefix .. 'budgets', field)))
  end
  return rows
end

-- Returns the ms when the day ends, as a text.
function BudgetRow.day_ends() return string.format('%d', Budget.day_ends()) end
