-- discoveries: the findings of a project after a cursor, the oldest first.
-- KEYS     meta
-- ARGV     7 project, 8 cursor ('0-0': from the start), 9 maximum number
-- RETURNS  stream entries
-- ERRORS   NO_PROJECT
return guarded(function()
  local project, cursor, limit = ARGV[7], ARGV[8], ARGV[9]
  need_project(project)
  local stream = key('discoveries', project)
  return without_request(call('XRANGE', stream, '(' .. cursor, '+', 'COUNT', limit))
end)
