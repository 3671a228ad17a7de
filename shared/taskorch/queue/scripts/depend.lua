-- depend: makes an item that no agent has begun wait for other items too.
-- KEYS     meta
-- ARGV     7 item, then the ids it depends on
-- RETURNS  {item id, state}
-- ERRORS   NO_ITEM WRONG_STATE CYCLE TOO_DEEP TOO_MANY
local FIRST = 8

-- Returns the ids of the call that are not in `depends_on` yet, and the states by id.
local function new_dependencies(depends_on)
  local known, new, states = editing.set_of(depends_on), {}, {}
  for i = FIRST, #ARGV do
    local id = ARGV[i]
    scope.refuse_foreign_item(id)
    states[id] = states[id] or state_of(id) or refuse_no_item(id)
    if not known[id] then table.insert(new, id) end
    known[id] = true
  end
  return new, states
end

return once(function()
  local id = ARGV[7]
  local item = need_item(id)
  if not editing.NOT_BEGUN[item.state] then refuse_state(item, 'depend') end
  local depends_on = editing.dependencies_of(id)
  local new, states = new_dependencies(depends_on)
  for _, dependency in ipairs(new) do table.insert(depends_on, dependency) end
  if #depends_on > MAX_DEPENDENCIES then
    refuse('TOO_MANY', {item = id, what = 'dependencies', most = MAX_DEPENDENCIES})
  end
  editing.refuse_cycles({id}, {[id] = new})

  local state_before, since = item.state, changed_at(id, item)
  editing.add_dependencies(id, new, states)
  Lease.revoke_token(item)
  remove_from_index(item)
  enqueue_or_wait(item)
  local all = #depends_on > 0 and {'depends_on', cjson.encode(depends_on)} or {}
  local event = emit('depend', item, unpack(all))
  if item.state == state_before then keep_since(item, event, since) end
  return {id, item.state}
end)
