-- depend: an item that nobody has begun waits for other items too.
-- KEYS     meta
-- ARGV     7 item, then the ids it depends on
-- RETURNS  {item id, state}
-- ERRORS   NO_ITEM WRONG_STATE CYCLE TOO_DEEP TOO_MANY
local MOST_FOLLOWED = 50000

local function dependencies_of(id)
  local listed = call('HGET', key('item', id), 'depends_on')
  return listed and cjson.decode(listed) or {}
end

-- Follows dependencies from all of `starts` in one walk, each item once; refuses when they lead to `target`. Completed
-- ones count, for `requeue` opens them again.
local function refuse_cycle(target, starts)
  local stack, seen, followed = {}, {}, 0
  for _, id in ipairs(starts) do table.insert(stack, {at = id, from = id}) end
  while #stack > 0 do
    local step = table.remove(stack)
    if step.at == target then fail('CYCLE', {item = target, dependency = step.from}) end
    if not seen[step.at] then
      seen[step.at] = true
      for _, next in ipairs(dependencies_of(step.at)) do
        followed = followed + 1
        if followed > MOST_FOLLOWED then fail('TOO_DEEP', {item = target, most = MOST_FOLLOWED}) end
        table.insert(stack, {at = next, from = step.from})
      end
    end
  end
end

-- Those of the call that are new to an item which has these already: their ids, and their states by id.
local function new_dependencies(depends_on)
  local known, new, states = {}, {}, {}
  for _, dependency in ipairs(depends_on) do known[dependency] = true end
  for i = 8, #ARGV do
    local id = ARGV[i]
    states[id] = states[id] or state_of(id) or no_item(id)
    if not known[id] then table.insert(new, id) end
    known[id] = true
  end
  return new, states
end

return once(function()
  local id, open = ARGV[7], {}
  local item = load(id)
  if item.state ~= 'pending' and item.state ~= 'waiting' and item.state ~= 'queued' and item.state ~= 'delayed' then
    wrong_state(item, 'depend')
  end
  local depends_on = dependencies_of(id)
  local new, states = new_dependencies(depends_on)
  for _, dependency in ipairs(new) do table.insert(depends_on, dependency) end
  if #depends_on > MOST_DEPENDENCIES then
    fail('TOO_MANY', {item = id, what = 'dependencies', most = MOST_DEPENDENCIES})
  end
  refuse_cycle(id, new)

  for _, dependency in ipairs(new) do
    local is_open = states[dependency] ~= 'completed'
    if is_open then table.insert(open, dependency) end
    call('SADD', key(is_open and 'dependents' or 'satisfied', dependency), id)
  end
  call_with('SADD', key('deps', id), open)
  settle(item)
  leave(item)
  place(item)
  emit('depend', item, unpack(#depends_on > 0 and {'depends_on', cjson.encode(depends_on)} or {}))
  return {id, item.state}
end)
