-- discoveries: the findings of a project after a cursor, oldest first.
-- KEYS     meta
-- ARGV     7 project, 8 cursor ('0-0': from the start), 9 how many at most
-- RETURNS  stream entries
-- ERRORS   NO_PROJECT
return guarded(function()
  need_project(ARGV[7])
  return without_request(call('XRANGE', key('discoveries', ARGV[7]), '(' .. ARGV[8], '+', 'COUNT', ARGV[9]))
end)
