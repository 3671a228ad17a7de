-- end_scheduled: records how a run of a schedule has ended, and when the next one is due.
-- KEYS     meta
-- ARGV     7 name, 8 ms of the run that `start_scheduled` has started, or '' for one that a
--          person has asked for, 9 its project or '', 10 why it failed or ''
-- RETURNS  {name}
-- ERRORS   NO_SCHEDULE
local name, due, project, failure = unpack(ARGV, 7, 10)
return once(function()
  Schedule.need_rights()
  Schedule.need(name)
  local schedule = key('schedule', name)
  local running, next_at = unpack(call('HMGET', schedule, 'running', 'next'))
  if due ~= '' and running ~= due then return {name} end -- another caller has ended it
  call('HSET', schedule, 'last_at', now, 'last_error', failure)
  call('HINCRBY', schedule, 'runs', 1)
  if project ~= '' then call('HSET', schedule, 'last_project', project) end
  if due ~= '' then
    call('HDEL', schedule, 'running')
    call('ZADD', prefix .. 'schedules', next_at, name)
  end
  return {name}
end)
