-- start_scheduled: starts the run of a due schedule, for one of any number of callers. A
--                  run that is not ended in time is started again, with the same time: its
--                  project has a key with that time, so there is no second project.
-- KEYS     meta
-- ARGV     7 name, 8 ms when it was due, as the caller has seen it, 9 ms of the run after it
-- RETURNS  {ms of the run, plan, values of its variables as JSON, access token to apply it
--          under or ''}; {'', '', '', ''} if another caller has started it, or it was removed
-- ERRORS   none of its own
local name, seen, following = unpack(ARGV, 7, 9)
return once(function()
  Schedule.need_rights()
  local index, schedule = prefix .. 'schedules', key('schedule', name)
  local due_at = tonumber(call('ZSCORE', index, name) or nil)
  if due_at ~= tonumber(seen) or due_at > now then return {''} end
  local running, next_at = unpack(call('HMGET', schedule, 'running', 'next'))
  if not running then
    running = next_at
    call('HSET', schedule, 'running', running, 'next', following)
  end
  call('ZADD', index, now + Schedule.REPEAT_MS, name)
  return {running}
end, function(reply)
  if reply[1] == '' then return {'', '', '', ''} end
  local plan, values = unpack(Schedule.content(name))
  return {reply[1], plan, values, call('HGET', key('schedule', name), 'access_token') or ''}
end)
