-- count_new_discoveries: the number of discoveries that the caller has not read yet.
-- KEYS     meta
-- ARGV     7 role of the reader: 'worker' or 'orchestrator', 8 what to read, as in
--          `discoveries`
-- RETURNS  {number, '1' if there may be more, else ''}
-- ERRORS   NO_PROJECT NO_ITEM NOT_YOURS
return guarded(function()
  local projects = projects_to_read(ARGV[8])
  return count_new(reader_of(ARGV[7]), projects)
end)
