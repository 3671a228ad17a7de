-- recount: compares the counts of projects, agents and pools with those of an audit, and
--          corrects them if it is asked to.
-- KEYS     meta
-- ARGV     7 the newest event when the audit began, 8 '1' to repair, then owner, its
--          counts as JSON …
-- RETURNS  {'1', or '' if there was an event since, {{owner, state, as kept, as
--          counted} …}}
-- ERRORS   none of its own
local ORDER = {
  'pending', 'waiting', 'queued', 'in_progress', 'blocked', 'review', 'delayed', 'completed',
  'failed', 'cancelled',
}
local FIELDS = {}
for place, state in ipairs(ORDER) do FIELDS[place] = 'n_' .. state end
local event, repair = ARGV[7], ARGV[8] == '1'

local function compared()
  if View.newest_event() ~= event then return {'', {}} end
  local differences = {}
  for i = 9, #ARGV, 2 do
    local owner, counted = ARGV[i], cjson.decode(ARGV[i + 1])
    local kind, name = string.match(owner, '^(%l+):(.*)$')
    local all_kept = read_hash(kind, name, 'HMGET', unpack(FIELDS))
    for place, state in ipairs(all_kept and ORDER or {}) do
      local kept, right = all_kept[place], counted[state] or 0
      local kept_number = tonumber(kept or 0) or -1
      if kept_number ~= right then
        table.insert(differences, {owner, state, kept or '0', right})
        if repair then call('HSET', prefix .. owner, 'n_' .. state, right) end
      end
    end
  end
  return {'1', differences}
end

if not repair then return guarded(compared) end
return once(compared)
