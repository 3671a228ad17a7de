-- environment: what the server says about itself, and its clock.
-- KEYS     meta
-- ARGV     7 section of INFO, and more of them
-- RETURNS  {ms, the namespace's schema version or '', INFO or '', '' or why INFO was
--          refused}
-- ERRORS   none of its own
--
-- It tells the doctor of a namespace that needs an upgrade, so it is not refused there.
return guarded(function(schema)
  local info = redis.pcall('INFO', unpack(ARGV, 7))
  local is_refused = type(info) == 'table'
  if is_refused then return {now, schema or '', '', info.err or '?'} end
  return {now, schema or '', info, ''}
end, OLDER)
