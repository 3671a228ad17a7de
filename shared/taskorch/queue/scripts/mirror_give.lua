-- mirror_give: the writer of a root's files gives the right to write back, and reports
--              how the pass went. Nothing is recorded from another writer.
-- KEYS     meta
-- ARGV     7 root, 8 writer, 9 status of the pass as JSON, 10 service that runs it as
--          JSON, or ''
-- RETURNS  {'1' if it was recorded, else ''}
-- ERRORS   none of its own
return once(function()
  local root, writer, status, service = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local mirror = key('mirror', root)
  if call('HGET', mirror, 'writer') ~= writer then return {''} end

  call('HSET', mirror, 'until', 0)
  -- An idle service reports the same status every few seconds, and this keeps it out of
  -- the append-only file.
  if call('HGET', mirror, 'status') ~= status then call('HSET', mirror, 'status', status) end
  if service ~= '' then call('HSET', mirror, 'service', service, 'service_at', now) end
  call('ZADD', prefix .. 'mirrors', now, root)
  return {'1'}
end)
