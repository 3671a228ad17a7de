-- reap: reaps expired leases and promotes items that are due, as `claim` does, but more
--       of them and for all agents.
-- KEYS     meta
-- ARGV     7 maximum number of each
-- RETURNS  {leases reaped, items promoted}
-- ERRORS   none of its own
return once(function()
  local limit = tonumber(ARGV[7])
  for _, agent in ipairs(call('ZRANGE', prefix .. 'agents', 0, -1)) do reconcile(agent, limit) end
  return {maintain(limit)}
end)
