-- notes: the caller's own notes on an item, the oldest first.
-- KEYS     meta
-- ARGV     7 item
-- RETURNS  stream entries
-- ERRORS   NO_ITEM
return guarded(function()
  local id = ARGV[7]
  need_item(id)
  return call('XRANGE', key('notes', caller.agent .. ':' .. id), '-', '+')
end)
