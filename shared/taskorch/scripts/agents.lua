-- agents: the agents that called last, those never seen at the end, and what each of them holds.
-- KEYS     meta
-- ARGV     7 how many at most
-- RETURNS  {{name, last seen ms, fields, {item id …}} …}
-- ERRORS   none of its own
return guarded(function()
  local agents = {}
  local names = call('ZREVRANGE', prefix .. 'agents', 0, ARGV[7] - 1, 'WITHSCORES')
  for i = 1, #names, 2 do
    table.insert(agents, {names[i], names[i + 1], call('HGETALL', key('agent', names[i])),
      call('ZRANGE', key('held', names[i]), 0, 19)})
  end
  return agents
end)
