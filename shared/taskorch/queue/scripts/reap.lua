-- reap: reaps expired leases and promotes items that are due, as `claim` does, but of all
--       agents. Continues a step that an earlier call left unfinished. A part of it all.
-- KEYS     meta
-- ARGV     7 maximum number of leases, and of items, 8 cursor of ZSCAN among the agents,
--          9 number of agents whose leases are compared with what they hold
-- RETURNS  {leases reaped, items promoted, next cursor or '0', number of unfinished steps}
-- ERRORS   none of its own
return once(function()
  local limit = tonumber(ARGV[7])
  local cursor, agents = unpack(call('ZSCAN', prefix .. 'agents', ARGV[8], 'COUNT', ARGV[9]))
  for i = 1, #agents, 2 do Lease.reconcile(agents[i], limit) end
  local reaped, promoted = Lease.maintain(limit)
  continue_unfinished()
  return {reaped, promoted, cursor, count_unfinished()}
end)
