-- create_schedule: keeps a plan that the service applies at the times of a cron line, under the
--                  access token of the caller if it has one.
-- KEYS     meta
-- ARGV     7 name, 8 cron line, 9 time zone, 10 plan, 11 values of its variables as JSON, 12
--          ms of its first run
-- RETURNS  {name}
-- ERRORS   SCHEDULE_EXISTS, TOO_MANY_SCHEDULES
local name, cron, zone, plan, values, next_at = unpack(ARGV, 7, 12)
return once(function()
  Schedule.need_rights()
  local index, schedule = prefix .. 'schedules', key('schedule', name)
  if call('ZSCORE', index, name) then refuse('SCHEDULE_EXISTS', {schedule = name}) end
  if call('ZCARD', index) >= Schedule.MOST then
    refuse('TOO_MANY_SCHEDULES', {most = Schedule.MOST})
  end
  call('DEL', schedule)
  call('HSET', schedule, 'cron', cron, 'zone', zone, 'plan', plan, 'values', values,
    'next', next_at, 'created_at', now, 'created_by', caller.agent)
  if caller.access_token ~= '' then call('HSET', schedule, 'access_token', caller.access_token) end
  call('ZADD', index, next_at, name)
  return {name}
end)
