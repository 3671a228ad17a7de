-- Reviews: who decides about an item that its holder has completed, and what the next
--          holder of an item that came back reads first.

local Review = {}

-- Returns what an item shows on top of its package, as JSON: {text, by, at in ms}.
function Review.returned(text)
  return cjson.encode({text = text, by = caller.agent, at = string.format('%d', now)})
end

-- Returns whether the caller decides as an agent. A worker can do nothing else, whatever it
-- says.
function Review.is_of_agent(as_agent)
  if caller.access then return as_agent or caller.access.role == 'worker' end
  if as_agent or user.may_do_all then return as_agent end
  for _, role in ipairs({'orchestrator', 'viewer', 'admin'}) do
    if redis.acl_check_cmd('HGET', key('role', role)) then return false end
  end
  return true
end

-- Refuses a caller who may not decide about an item: an agent has to be its reviewer, and no
-- caller decides about its own work.
function Review.check_caller(item, verb, as_agent)
  local reviewer = call('HGET', key('item', item.id), 'reviewer') or ''
  if Review.is_of_agent(as_agent) and reviewer ~= caller.agent then
    refuse('NOT_REVIEWER', {item = item.id, verb = verb, reviewer = reviewer,
      caller = caller.agent})
  end
  if item.agent == caller.agent then
    refuse('OWN_WORK', {item = item.id, verb = verb, caller = caller.agent})
  end
end
