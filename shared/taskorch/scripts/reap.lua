-- reap: act on expired leases and on delayed items that are due, as `claim` does, but more of them.
-- KEYS     meta
-- ARGV     6 how many of each at most
-- RETURNS  {leases reaped, items promoted}
-- ERRORS   none of its own
return once(function() return {maintain(tonumber(ARGV[6]))} end)
