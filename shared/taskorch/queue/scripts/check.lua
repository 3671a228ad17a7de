-- check: what is assigned to the caller and ready: what it holds, then the first of its queue. Reaps and promotes too.
-- KEYS     meta
-- ARGV     7 how many items at most
-- RETURNS  {count, assigned but not ready, {item view …}}
-- ERRORS   none of its own
return once(function()
  touch()
  maintain(BATCH)
  return nil
end, function()
  local limit = tonumber(ARGV[7])
  local held, queue = key('held', me.agent), key('queue', me.agent)
  local ids = call('ZRANGE', held, 0, limit - 1)
  if #ids < limit then
    for _, id in ipairs(call('ZRANGE', queue, 0, limit - #ids - 1)) do table.insert(ids, id) end
  end
  return {call('ZCARD', held) + call('ZCARD', queue), not_ready(me.agent), item_views(ids)}
end)
