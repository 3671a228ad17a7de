-- depend: makes an item that no agent has begun wait for other items too.
-- KEYS     meta
-- ARGV     7 item, then the ids it depends on
-- RETURNS  {item id, state}
-- ERRORS   NO_ITEM WRONG_STATE CYCLE TOO_DEEP TOO_MANY
local FIRST = 8
local MAX_FOLLOWED = 50000
local NOT_BEGUN = {pending = true, waiting = true, queued = true, delayed = true}

local function dependencies_of(id)
  local listed = call('HGET', key('item', id), 'depends_on')
  return listed and cjson.decode(listed) or {}
end

-- Follows dependencies from all of `starts` in one walk, each item once, and refuses if
-- they lead to `target`. It follows completed ones too, because `requeue` opens them
-- again.
local function refuse_cycle(target, starts)
  local stack, visited, followed = {}, {}, 0
  for _, id in ipairs(starts) do table.insert(stack, {at = id, from = id}) end
  while #stack > 0 do
    local step = table.remove(stack)
    if step.at == target then refuse('CYCLE', {item = target, dependency = step.from}) end
    if not visited[step.at] then
      visited[step.at] = true
      for _, next in ipairs(dependencies_of(step.at)) do
        followed = followed + 1
        if followed > MAX_FOLLOWED then
          refuse('TOO_DEEP', {item = target, most = MAX_FOLLOWED})
        end
        table.insert(stack, {at = next, from = step.from})
      end
    end
  end
end

-- Returns the ids of the call that are not in `depends_on` yet, and the states by id.
local function new_dependencies(depends_on)
  local known, new, states = {}, {}, {}
  for _, dependency in ipairs(depends_on) do known[dependency] = true end
  for i = FIRST, #ARGV do
    local id = ARGV[i]
    states[id] = states[id] or state_of(id) or refuse_no_item(id)
    if not known[id] then table.insert(new, id) end
    known[id] = true
  end
  return new, states
end

return once(function()
  local id = ARGV[7]
  local item = need_item(id)
  if not NOT_BEGUN[item.state] then refuse_state(item, 'depend') end
  local depends_on = dependencies_of(id)
  local new, states = new_dependencies(depends_on)
  for _, dependency in ipairs(new) do table.insert(depends_on, dependency) end
  if #depends_on > MAX_DEPENDENCIES then
    refuse('TOO_MANY', {item = id, what = 'dependencies', most = MAX_DEPENDENCIES})
  end
  refuse_cycle(id, new)

  local open = {}
  for _, dependency in ipairs(new) do
    local is_open = states[dependency] ~= 'completed'
    if is_open then table.insert(open, dependency) end
    call('SADD', key(is_open and 'dependents' or 'satisfied', dependency), id)
  end
  call_in_chunks('SADD', key('deps', id), open)
  revoke_token(item)
  remove_from_index(item)
  enqueue_or_wait(item)
  if #depends_on > 0 then
    emit('depend', item, 'depends_on', cjson.encode(depends_on))
  else
    emit('depend', item)
  end
  return {id, item.state}
end)
