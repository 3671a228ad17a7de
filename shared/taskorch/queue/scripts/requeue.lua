-- requeue: a failed, cancelled or completed item starts afresh, with all its attempts; its project is open again.
--          Its dependents wait for it again, some in a call.
-- KEYS     meta
-- ARGV     7 item, 8 '1' to go on with dependents that an earlier call has left, and nothing else
-- RETURNS  {item id, state, agent, number of items that wait again, {{held dependent, its agent} …}, number left}
-- ERRORS   NO_ITEM WRONG_STATE
-- In a call, while Redis does nothing else.
local MOST_DEPENDENTS = 250

local ENDED = {failed = true, cancelled = true, completed = true}

local function start_afresh(item)
  call('HSET', key('project', item.project), 'status', 'active')
  call('HDEL', key('project', item.project), 'completed_at')
  settle(item)
  report(item, 'requeue')
  leave(item)
  item.attempts, item.not_before, item.seq = 0, 0, next_sequence()
  call('HDEL', key('item', item.id), 'percent', 'summary', 'deliverables', 'started_at', 'completed_at')
  place(item)
  emit('requeue', item, 'seq', item.seq)
end

-- What is ready waits again, under the token that it may have. What is held stays so, and waits once it is given back.
local function wait_again(dependent, item)
  call('SADD', key('deps', dependent.id), item.id)
  if dependent.state ~= 'queued' and dependent.state ~= 'delayed' then return 0 end
  move(dependent, 'waiting', now)
  emit('wait', dependent)
  return 1
end

-- Returns how many dependents wait again, and those that are held.
local function open_again(item, ids)
  local waiting, held, there = 0, {}, {}
  for _, id in ipairs(ids) do
    local dependent = find(id)
    if dependent then
      table.insert(there, id)
      waiting = waiting + wait_again(dependent, item)
      if is_held(dependent) then table.insert(held, {id, dependent.agent}) end
    end
  end
  call_with('SADD', key('dependents', item.id), there)
  return waiting, held
end

return once(function()
  local id, goes_on = ARGV[7], ARGV[8] ~= ''
  local item = load(id)
  local ended = ENDED[item.state]
  if not (ended or goes_on or item.state == 'queued') then wrong_state(item, 'requeue') end
  if goes_on and item.state == 'completed' then return {id, item.state, item.agent, 0, {}, 0} end

  local dependents = call('SPOP', key('satisfied', id), MOST_DEPENDENTS)
  table.sort(dependents)
  gather({item, unpack(dependents)})
  if ended and not goes_on then start_afresh(item) end
  local waiting, held = open_again(item, dependents)
  return {id, item.state, item.agent, waiting, held, call('SCARD', key('satisfied', id))}
end)
