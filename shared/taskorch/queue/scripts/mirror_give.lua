-- mirror_give: a writer of a root's files gives its right back, and says how it went. Only the writer's word counts.
-- KEYS     meta
-- ARGV     7 root, 8 writer, 9 how it went, as JSON, 10 the service that runs it, as JSON, or ''
-- RETURNS  {'1' if it was noted, else ''}
-- ERRORS   none of its own
return once(function()
  local root, writer, status, service = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local mirror = key('mirror', root)
  if call('HGET', mirror, 'writer') ~= writer then return {''} end

  call('HSET', mirror, 'until', 0)
  -- An idle service reports the same status every few seconds: the append-only file need not grow by it.
  if call('HGET', mirror, 'status') ~= status then call('HSET', mirror, 'status', status) end
  if service ~= '' then call('HSET', mirror, 'service', service, 'service_at', now) end
  call('ZADD', prefix .. 'mirrors', now, root)
  return {'1'}
end)
