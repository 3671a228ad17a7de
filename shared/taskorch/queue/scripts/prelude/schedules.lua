-- schedules: what the scripts of schedules share. `schedules` has when a service acts on
--            each of them: at its next run, or when it repeats an unfinished one.

local Schedule = {MOST = 100, REPEAT_MS = 120000}
Schedule.FIELDS = {
  'next', 'running', 'last_at', 'runs', 'created_at', 'last_project', 'last_error', 'cron', 'zone',
  'created_by', 'access_token',
}

-- The scripts of agents need no right to these keys, so `Rights.check` does not ask for it.
function Schedule.need_rights()
  if user.may_do_all then return end
  local KINDS_OF_ORCHESTRATORS = {'schedule:x', 'schedules'}
  for _, kind in ipairs(KINDS_OF_ORCHESTRATORS) do Rights.need('HINCRBY', prefix .. kind) end
end

function Schedule.need(name)
  if not call('ZSCORE', prefix .. 'schedules', name) then
    refuse('NO_SCHEDULE', {schedule = name})
  end
end

-- {plan, values of its variables as JSON}
function Schedule.content(name)
  local plan, values = unpack(call('HMGET', key('schedule', name), 'plan', 'values'))
  return {plan or '', values or '{}'}
end
