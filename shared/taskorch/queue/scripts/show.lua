-- show: an item with all that it carries, for an orchestrator.
-- KEYS     meta
-- ARGV     7 item
-- RETURNS  package
-- ERRORS   NO_ITEM
return guarded(function() return package(ARGV[7]) end)
