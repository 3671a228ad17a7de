-- show: an item with all its details, for an orchestrator.
-- KEYS     meta
-- ARGV     7 item
-- RETURNS  package
-- ERRORS   NO_ITEM
return guarded(function() return package_view(ARGV[7]) end)
