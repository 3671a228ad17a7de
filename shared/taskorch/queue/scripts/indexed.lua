-- indexed: the items of one index, the oldest first: 'unassigned', 'leases', 'blocked', 'delayed' or 'dead'.
-- KEYS     meta
-- ARGV     7 index, 8 how many at most
-- RETURNS  {item view …}
-- ERRORS   none of its own
return guarded(function()
  return item_views(call('ZRANGE', prefix .. ARGV[7], 0, ARGV[8] - 1))
end)
