-- resume: continues a step that an earlier call left unfinished, such as the release of
--         many items that waited for one; a part of it.
-- KEYS     meta
-- ARGV     none of its own
-- RETURNS  {number of steps that are still unfinished}
-- ERRORS   none of its own
return once(function()
  continue_unfinished()
  return {count_unfinished()}
end)
