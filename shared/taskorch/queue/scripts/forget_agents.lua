-- forget_agents: forgets agents that have no items, in any state, and have not called for
--                some time; a part of them.
-- KEYS     meta
-- ARGV     7 minimum age in ms of the last call, 8 number of agents to skip, which have
--          items, 9 maximum number of agents to look at
-- RETURNS  {number to skip next time, or '' at the end, number of agents forgotten}
-- ERRORS   none of its own
local function has_items(name)
  local fields = call('HGETALL', key('agent', name))
  for i = 1, #fields, 2 do
    local is_count = string.sub(fields[i], 1, 2) == 'n_'
    if is_count and fields[i + 1] ~= '0' then return true end
  end
  return call('EXISTS', key('queue', name), key('held', name)) > 0
end

return once(function()
  local age, skip, limit = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
  local old = call('ZRANGE', prefix .. 'agents', '-inf', now - age, 'BYSCORE', 'LIMIT', skip, limit)
  local forgotten = 0
  for _, name in ipairs(old) do
    if not has_items(name) then
      call('DEL', key('agent', name), key('wake', name))
      call('ZREM', prefix .. 'agents', name)
      forgotten = forgotten + 1
    end
  end
  return {#old == limit and tostring(skip + #old - forgotten) or '', forgotten}
end)
