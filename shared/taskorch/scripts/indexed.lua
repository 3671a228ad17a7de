-- indexed: the items of one index, the oldest first: 'unassigned', 'leases', 'blocked', 'delayed' or 'dead'.
-- KEYS     meta
-- ARGV     6 index, 7 how many at most
-- RETURNS  {item view …}
-- ERRORS   none of its own
return guarded(function()
  return item_views(call('ZRANGE', prefix .. ARGV[6], 0, ARGV[7] - 1))
end)
