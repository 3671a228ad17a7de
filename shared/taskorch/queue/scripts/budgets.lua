-- budgets: the budgets, and what is used of each in its period: those of an owner, or as many of
--          all as a reply has room for.
-- KEYS     meta
-- ARGV     7 cursor or '0', 8 owner: 'namespace', 'project:<id>', 'agent:<name>', or '' for all
-- RETURNS  {next cursor, ms when the day ends, {{owner, 'day' or 'total', microdollars or '-',
--          tokens or '-', four numbers that are used, as one text} …}}
-- ERRORS   NO_PROJECT NO_AGENT NOT_ALLOWED
local SCANNED = 100
local owner = ARGV[8]

return guarded(function()
  local day_ends, rows = BudgetRow.day_ends(), {}
  if owner ~= '' then
    Usage.need_owner(owner)
    return {'0', day_ends, BudgetRow.of_owner(owner)}
  end
  if not Budget.owners then return {'0', day_ends, rows} end
  local cursor, fields = unpack(call('HSCAN', prefix .. 'budgets', ARGV[7], 'COUNT', SCANNED))
  for i = 1, #fields, 2 do table.insert(rows, BudgetRow.of(fields[i], fields[i + 1])) end
  return {cursor, day_ends, rows}
end)
