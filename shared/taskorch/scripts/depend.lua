-- depend: an item that nobody has begun waits for other items too.
-- KEYS     meta
-- ARGV     6 item, then the ids it depends on
-- RETURNS  {item id, state}
-- ERRORS   NO_ITEM WRONG_STATE CYCLE TOO_DEEP TOO_MANY
local MOST_VISITED = 10000

-- Follows open dependencies from `id`; true when they lead to `target`.
local function leads_to(target, id)
  local stack, seen, visited = {id}, {}, 0
  while #stack > 0 do
    local at = table.remove(stack)
    if at == target then return true end
    if not seen[at] then
      seen[at], visited = true, visited + 1
      if visited > MOST_VISITED then fail('TOO_DEEP', {item = target, most = MOST_VISITED}) end
      for _, next in ipairs(call('SMEMBERS', key('deps', at))) do table.insert(stack, next) end
    end
  end
  return false
end

return once(function()
  local id, open = ARGV[6], {}
  local item = load(id)
  if item.state ~= 'pending' and item.state ~= 'waiting' and item.state ~= 'queued' and item.state ~= 'delayed' then
    wrong_state(item, 'depend')
  end
  local depends_on = cjson.decode(call('HGET', key('item', id), 'depends_on') or '[]')
  local known = {}
  for _, dependency in ipairs(depends_on) do known[dependency] = true end
  for i = 7, #ARGV do
    local dependency = ARGV[i]
    local state = load(dependency).state
    if leads_to(id, dependency) then fail('CYCLE', {item = id, dependency = dependency}) end
    if state ~= 'completed' then table.insert(open, dependency) end
    if not known[dependency] then table.insert(depends_on, dependency) end
    known[dependency] = true
  end
  if #depends_on > 200 then fail('TOO_MANY', {item = id, what = 'dependencies', most = 200}) end

  for _, dependency in ipairs(open) do
    call('SADD', key('deps', id), dependency)
    call('SADD', key('dependents', dependency), id)
  end
  if #depends_on > 0 then set(item, 'depends_on', cjson.encode(depends_on)) end
  leave(item)
  place(item)
  emit('depend', item)
  return {id, item.state}
end)
