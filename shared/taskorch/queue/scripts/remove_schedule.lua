-- remove_schedule: removes a schedule. The projects that it has created stay.
-- KEYS     meta
-- ARGV     7 name
-- RETURNS  {name}
-- ERRORS   NO_SCHEDULE
local name = ARGV[7]
return once(function()
  Schedule.need_rights()
  Schedule.need(name)
  call('DEL', key('schedule', name))
  call('ZREM', prefix .. 'schedules', name)
  return {name}
end)
