-- indexed: the items of one index, the oldest first.
-- KEYS     meta
-- ARGV     7 index: 'unassigned', 'leases', 'blocked', 'delayed' or 'dead', 8 maximum
--          number
-- RETURNS  {item view …}
-- ERRORS   none of its own
return guarded(function()
  local index, limit = ARGV[7], tonumber(ARGV[8])
  return item_views(call('ZRANGE', prefix .. index, 0, limit - 1))
end)
