-- reap: reaps expired leases and promotes items that are due, as `claim` does, but of all
--       agents. Continues a step that an earlier call left unfinished. A part of it all.
-- KEYS     meta
-- ARGV     7 maximum number of leases, and of items, 8 cursor of ZSCAN among the agents,
--          9 number of agents whose leases are compared with what they hold
-- RETURNS  {leases reaped, items promoted, next cursor or '0', number of unfinished steps,
--          items released by such a step, items cancelled by one}
-- ERRORS   none of its own
return once(function()
  local limit = tonumber(ARGV[7])
  local cursor, agents = unpack(call('ZSCAN', prefix .. 'agents', ARGV[8], 'COUNT', ARGV[9]))
  for i = 1, #agents, 2 do Lease.reconcile(agents[i], limit) end
  local reaped, promoted = Lease.maintain(limit)
  local handled_before = handled
  local _, entry = continue_unfinished()
  local number = handled - handled_before
  local released, cancelled = number, 0
  if entry and string.match(entry, '^close:') then released, cancelled = 0, number end
  return {reaped, promoted, cursor, count_unfinished(), released, cancelled}
end)
