-- check: the caller's ready items: what it holds, then the first of its queue and of its
--        pools. Reaps leases and promotes items too.
-- KEYS     meta
-- ARGV     7 maximum number of items
-- RETURNS  {count, assigned but not ready, {item view …}, now, {pool of the caller, number of
--          items that are ready in it …}}
-- ERRORS   none of its own
return once(function()
  seen()
  Owner.join_pools()
  Lease.maintain(MAX_DUE)
  return nil
end, function()
  local limit = tonumber(ARGV[7])
  local held = key('held', caller.agent)
  local ids = call('ZRANGE', held, 0, limit - 1)
  if #ids < limit then
    for _, id in ipairs(scope.queued_ids(limit - #ids)) do table.insert(ids, id) end
  end
  local views = View.items(ids)
  if confined ~= '' then return {#views, 0, views, now, {}} end
  local queued, in_pools = View.count_queued()
  local count = call('ZCARD', held) + queued
  return {count, View.count_not_ready(caller.agent), views, now, in_pools}
end)
