-- budgets: the budgets, and what is used of each in its period: as many of them as a reply has
--          room for.
-- KEYS     meta
-- ARGV     7 cursor or '0'
-- RETURNS  {next cursor, ms when the day ends, {{owner, 'day' or 'total', microdollars or '-',
--          tokens or '-', four numbers that are used, as one text} …}}
-- ERRORS   none of its own
local SCANNED = 100

-- Returns the row of a budget, or nil for one that the caller does not see.
local function row(field, value)
  local owner, period = string.match(field, '^(.*):(%l+)$')
  local cost, tokens = string.match(value, '^(%S+) (%S+)$')
  if not (owner and cost) then return nil end
  if confined ~= '' and owner ~= 'project:' .. confined then return nil end
  local place = period == 'day' and 'day:' .. Usage.today() or period
  local used = redis.pcall('HGET', Usage.of(owner), place)
  if type(used) == 'table' then used = '' end
  return {owner, period, cost, tokens, string.format('%d %d %d %d', unpack(Usage.numbers(used)))}
end

return guarded(function()
  local day_ends, rows = string.format('%d', Budget.day_ends()), {}
  if not Budget.are_set then return {'0', day_ends, rows} end
  local cursor, fields = unpack(call('HSCAN', prefix .. 'budgets', ARGV[7], 'COUNT', SCANNED))
  for i = 1, #fields, 2 do table.insert(rows, row(fields[i], fields[i + 1])) end
  return {cursor, day_ends, rows}
end)
