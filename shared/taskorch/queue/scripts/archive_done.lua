-- archive_done: records that the archive of a project is complete, so that it is not
--               written again and the project may be purged.
-- KEYS     meta
-- ARGV     7 project, 8 run that `archive_take` returned, 9 file
-- RETURNS  '1', or '' if another run has begun or the project was reopened
-- ERRORS   NO_PROJECT
return once(function()
  local id, run, file = ARGV[7], ARGV[8], ARGV[9]
  Project.need(id)
  local archive = key('archive', id)
  if call('HGET', archive, 'run') ~= run then return '' end
  call('HSET', archive, 'file', file)
  return '1'
end, nil, nil, true)
