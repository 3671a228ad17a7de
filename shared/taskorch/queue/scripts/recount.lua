-- recount: compares the counts of projects, agents and pools, and what the items of projects
--          have used, with those of an audit, and corrects them if it is asked to.
-- KEYS     meta
-- ARGV     7 the newest event when the audit began, 8 '1' to repair, then owner, its
--          counts as JSON …
-- RETURNS  {'1', or '' if there was an event since, {{owner, state or field of the usage, as
--          kept, as counted} …}}
-- ERRORS   none of its own
local ORDER = {
  'pending', 'waiting', 'queued', 'in_progress', 'blocked', 'review', 'delayed', 'completed',
  'failed', 'cancelled',
}
local FIELDS = {}
for place, state in ipairs(ORDER) do FIELDS[place] = 'n_' .. state end
local event, repair = ARGV[7], ARGV[8] == '1'

-- Compares the total of a project with the sum of its items.
local function compare_usage(owner, counted, differences)
  local hash = Usage.of(owner)
  local total = redis.pcall('HGET', hash, 'total')
  local kept, right = Usage.numbers(type(total) == 'string' and total or ''), {}
  local is_right = true
  for place, field in ipairs(Usage.FIELDS) do
    right[place] = counted[field] or 0
    if kept[place] ~= right[place] then
      is_right = false
      table.insert(differences, {owner, field, string.format('%d', kept[place]),
        string.format('%d', right[place])})
    end
  end
  local is_other_type = type(total) == 'table'
  if repair and not is_right and not is_other_type then
    call('HSET', hash, 'total', Usage.text(right))
  end
end

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
    if kind == 'project' then compare_usage(owner, counted, differences) end
  end
  return {'1', differences}
end

if not repair then return guarded(compared) end
return once(compared)
