-- environment: what the server says of itself, and its clock.
-- KEYS     meta
-- ARGV     7 section of INFO, and more of them
-- RETURNS  {ms, the namespace's schema version or '', INFO or '', '' or why it says nothing}
-- ERRORS   none of its own
return guarded(function(schema)
  local info = redis.pcall('INFO', unpack(ARGV, 7))
  local refused = type(info) == 'table' and (info.err or '?')
  return {now, schema or '', refused and '' or info, refused or ''}
end)
