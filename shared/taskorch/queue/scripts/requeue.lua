-- requeue: a failed, cancelled or completed item starts afresh, with all its attempts.
--          Its dependents wait for it again, some of them in each call.
-- KEYS     meta
-- ARGV     7 item, 8 '1' to continue with dependents that an earlier call left, and
--          nothing else, 9 reason, which its holders read, or '', 10 '1' to reopen its
--          project if that is completed
-- RETURNS  {item id, state, agent, number of items that wait again, {{held dependent,
--          its agent} …}, number left}
-- ERRORS   NO_ITEM WRONG_STATE NEEDS_REOPEN
local reason, is_reopened = ARGV[9], ARGV[10] ~= ''

-- Dependents in one call: Redis does nothing else during a call.
local MAX_DEPENDENTS = 20
local ENDED = {failed = true, cancelled = true, completed = true}

local function start_afresh(item)
  local stored, had_failed = unpack(call('HMGET', key('item', item.id), 'generation', 'had_failed'))
  local generation = (tonumber(stored or 0) or 0) + 1
  local ended = had_failed and 'failed' or item.state
  if Project.is_closed(item.project) then Project.reopen(item.project) end
  Lease.revoke_token(item)
  if item.token == '0' then
    report(item, 'requeue', 'text', reason, 'ended', ended)
  else
    report_end(item, 'requeue', 'text', reason, 'ended', ended)
  end
  remove_from_index(item)
  item.attempts, item.not_before, item.seq = 0, 0, next_sequence()
  call('HDEL', key('item', item.id), 'percent', 'summary', 'deliverables', 'started_at',
    'completed_at', 'completion', 'returned', 'had_failed', 'evidence')
  enqueue_or_wait(item)
  if reason == '' then
    emit('requeue', item, 'seq', item.seq, 'generation', generation)
  else
    emit('requeue', item, 'seq', item.seq, 'generation', generation, 'returned',
      Review.returned(reason))
  end
end

-- A ready dependent waits again; a live token of an expired attempt stays alive. A held
-- dependent stays held, and waits when it is given back. Returns whether it waits now.
local function wait_again(dependent, item)
  call('SADD', key('deps', dependent.id), item.id)
  if dependent.state ~= 'queued' and dependent.state ~= 'delayed' then return false end
  move(dependent, 'waiting', now)
  emit('wait', dependent)
  return true
end

-- Returns the number of dependents that wait again, and those that are held.
local function open_again(item, ids)
  local waiting, held, existing = 0, {}, {}
  for _, id in ipairs(ids) do
    local dependent = find_item(id)
    if dependent then
      table.insert(existing, id)
      if wait_again(dependent, item) then waiting = waiting + 1 end
      if is_held(dependent) then table.insert(held, {id, dependent.agent}) end
    end
  end
  call_in_chunks('SADD', key('dependents', item.id), existing)
  return waiting, held
end

return once(function()
  local id, is_continued = ARGV[7], ARGV[8] ~= ''
  local item = need_item(id)
  local has_ended = ENDED[item.state]
  if not (has_ended or is_continued or item.state == 'queued') then
    refuse_state(item, 'requeue')
  end
  if is_continued and item.state == 'completed' then
    return {id, item.state, item.agent, 0, {}, 0}
  end
  local starts = has_ended and not is_continued
  if starts and not is_reopened and Project.is_closed(item.project) then
    refuse('NEEDS_REOPEN', {item = id, project = item.project})
  end

  local dependents = call('SPOP', key('satisfied', id), MAX_DEPENDENTS)
  table.sort(dependents)
  begin_batch({item, unpack(dependents)})
  if starts then start_afresh(item) end
  local waiting, held = open_again(item, dependents)
  local left = call('SCARD', key('satisfied', id))
  return {id, item.state, item.agent, waiting, held, left}
end)
