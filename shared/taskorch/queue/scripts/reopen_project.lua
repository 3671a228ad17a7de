-- reopen_project: a completed project is active again. Its items keep their states.
-- KEYS     meta
-- ARGV     7 project
-- RETURNS  {'repeat' if it was active, else '', project view}
-- ERRORS   NO_PROJECT
local id = ARGV[7]

return once(function()
  if need_project(id) == 'active' then return {'repeat'} end

  reopen_project(id)
  return {''}
end, function(reply)
  need_project(id) -- it may have been purged before a repeat
  return {reply[1], project_view(id)}
end)
