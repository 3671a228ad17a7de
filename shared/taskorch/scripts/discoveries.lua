-- discoveries: the findings of a project after a cursor, oldest first.
-- KEYS     meta
-- ARGV     6 project, 7 cursor ('0-0': from the start), 8 how many at most
-- RETURNS  stream entries
-- ERRORS   NO_PROJECT
return guarded(function()
  need_project(ARGV[6])
  return call('XRANGE', key('discoveries', ARGV[6]), '(' .. ARGV[7], '+', 'COUNT', ARGV[8])
end)
