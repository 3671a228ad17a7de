-- recount: compares the counts of projects and agents with what an audit counted, and sets them right if told to.
-- KEYS     meta
-- ARGV     7 the newest event when the audit began, 8 '1' to mend what is wrong, then owner, its counts as JSON …
-- RETURNS  {'1', or '' if there was an event since, {{owner, state, as kept, as counted} …}}
-- ERRORS   none of its own
local STATES = {'pending', 'waiting', 'queued', 'in_progress', 'blocked', 'delayed', 'completed', 'failed', 'cancelled'}
local event, mend = ARGV[7], ARGV[8] == '1'

local function compared()
  if newest_event() ~= event then return {'', {}} end
  local drifted = {}
  for i = 9, #ARGV, 2 do
    local owner, counted = ARGV[i], cjson.decode(ARGV[i + 1])
    for _, state in ipairs(STATES) do
      local kept, right = call('HGET', prefix .. owner, 'n_' .. state), counted[state] or 0
      if (tonumber(kept or 0) or -1) ~= right then
        table.insert(drifted, {owner, state, kept or '0', right})
        if mend then call('HSET', prefix .. owner, 'n_' .. state, right) end
      end
    end
  end
  return {'1', drifted}
end

if not mend then return guarded(compared) end
return once(compared)
