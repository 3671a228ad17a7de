-- depend: an item that nobody has begun waits for other items too.
-- KEYS     meta
-- ARGV     7 item, then the ids it depends on
-- RETURNS  {item id, state}
-- ERRORS   NO_ITEM WRONG_STATE CYCLE TOO_DEEP TOO_MANY
local MOST_FOLLOWED = 50000

-- Follows open dependencies from all of `starts` in one walk, each item once; refuses when they lead to `target`.
local function refuse_cycle(target, starts)
  local stack, seen, followed = {}, {}, 0
  for _, id in ipairs(starts) do table.insert(stack, {at = id, from = id}) end
  while #stack > 0 do
    local step = table.remove(stack)
    if step.at == target then fail('CYCLE', {item = target, dependency = step.from}) end
    if not seen[step.at] then
      seen[step.at] = true
      for _, next in ipairs(call('SMEMBERS', key('deps', step.at))) do
        followed = followed + 1
        if followed > MOST_FOLLOWED then fail('TOO_DEEP', {item = target, most = MOST_FOLLOWED}) end
        table.insert(stack, {at = next, from = step.from})
      end
    end
  end
end

return once(function()
  local id, open = ARGV[7], {}
  local item = load(id)
  if item.state ~= 'pending' and item.state ~= 'waiting' and item.state ~= 'queued' and item.state ~= 'delayed' then
    wrong_state(item, 'depend')
  end
  local depends_on = cjson.decode(call('HGET', key('item', id), 'depends_on') or '[]')
  local known = {}
  for _, dependency in ipairs(depends_on) do known[dependency] = true end
  for i = 8, #ARGV do
    local dependency = ARGV[i]
    if load(dependency).state ~= 'completed' or dependency == id then table.insert(open, dependency) end
    if not known[dependency] then table.insert(depends_on, dependency) end
    known[dependency] = true
  end
  refuse_cycle(id, open)
  if #depends_on > 200 then fail('TOO_MANY', {item = id, what = 'dependencies', most = 200}) end

  for _, dependency in ipairs(open) do
    call('SADD', key('deps', id), dependency)
    call('SADD', key('dependents', dependency), id)
  end
  settle(item)
  leave(item)
  place(item)
  emit('depend', item, unpack(#depends_on > 0 and {'depends_on', cjson.encode(depends_on)} or {}))
  return {id, item.state}
end)
