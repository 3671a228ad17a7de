-- schedules: the schedules, those that are due first; or one of them with its plan.
-- KEYS     meta
-- ARGV     7 name of the only one or '', 8 '1' for those that are due, '' for all
-- RETURNS  {now, {{name, ms when a service acts on it, next ms, ms of the run that is not
--          ended or '', last ms or '', number of runs or '', created ms, last project or '',
--          last error or '', cron line, time zone, by whom, access token or ''} …}, plan or
--          '', values of its variables as JSON or ''}
-- ERRORS   NO_SCHEDULE
local name, only_due = ARGV[7], ARGV[8] == '1'

local function row(each, due_at)
  local fields = read_hash('schedule', each, 'HMGET', unpack(Schedule.FIELDS)) or {}
  for i = 1, #Schedule.FIELDS do fields[i] = fields[i] or '' end
  return {each, due_at, unpack(fields)}
end

return guarded(function()
  local index = prefix .. 'schedules'
  if name ~= '' then
    Schedule.need(name)
    return {now, {row(name, call('ZSCORE', index, name))}, unpack(Schedule.content(name))}
  end
  local page = call('ZRANGE', index, '-inf', only_due and now or '+inf', 'BYSCORE', 'LIMIT', 0,
    Schedule.MOST, 'WITHSCORES')
  local found = {}
  for i = 1, #page, 2 do table.insert(found, row(page[i], page[i + 1])) end
  return {now, found, '', ''}
end)
