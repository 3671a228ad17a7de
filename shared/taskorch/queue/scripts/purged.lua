-- purged: the projects, among some ids, that were purged. Old purges are forgotten.
-- KEYS     meta
-- ARGV     7 project, then more of them
-- RETURNS  {project …}
-- ERRORS   none of its own
return guarded(function()
  local purged = {}
  for i, at in ipairs(call('ZMSCORE', prefix .. 'purged', unpack(ARGV, 7))) do
    if at then table.insert(purged, ARGV[6 + i]) end
  end
  return purged
end)
