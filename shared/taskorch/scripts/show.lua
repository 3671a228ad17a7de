-- show: an item with all that it carries, for an orchestrator.
-- KEYS     meta
-- ARGV     6 item
-- RETURNS  package
-- ERRORS   NO_ITEM
return guarded(function() return package(ARGV[6]) end)
