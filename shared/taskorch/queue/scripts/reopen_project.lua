-- reopen_project: a completed project is active again. Its items keep their states.
-- KEYS     meta
-- ARGV     7 project
-- RETURNS  {'repeat' if it was active, else '', project view}
-- ERRORS   NO_PROJECT
local id = ARGV[7]

return once(function()
  if Project.need(id) == 'active' then return {'repeat'} end

  Project.reopen(id)
  return {''}
end, function(reply)
  Project.need(id) -- it may have been purged before a repeat
  return {reply[1], View.project(id)}
end)
