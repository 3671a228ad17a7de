-- notes: the caller's own notes on an item, oldest first.
-- KEYS     meta
-- ARGV     7 item
-- RETURNS  stream entries
-- ERRORS   NO_ITEM
return guarded(function()
  load(ARGV[7])
  return call('XRANGE', key('notes', me.agent .. ':' .. ARGV[7]), '-', '+')
end)
