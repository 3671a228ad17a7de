-- audit_index: finds entries of an index that belong elsewhere, items that their project
--              does not list, and unfinished steps that were set aside. Repairs them if it
--              is asked to.
-- KEYS     meta
-- ARGV     7 index: 'leases', 'queue:ada', 'queue:pool:backend' …, 8 cursor of ZSCAN, 9
--          number of entries, 10 '1' to repair
-- RETURNS  {next cursor or '0', {finding …}}
-- ERRORS   none of its own
local name, repair = ARGV[7], ARGV[10] == '1'
local kind, owner = string.match(name, '^(%l+):?(.*)$')

local function belongs(item)
  if kind == 'held' then return item.agent == owner and is_held(item) end
  if kind == 'queue' then return item.owner == owner and item.state == 'queued' end
  if kind == 'questions' then
    return #item.open > 0 and (owner == '' or item.project == owner)
  end
  return INDEX[item.state] == kind
end

-- Returns whether the project lists the item. A repair adds one that only an index
-- names.
local function is_listed(item)
  local items = key('project', item.project) .. ':items'
  local in_project = call('ZSCORE', items, item.id)
  if in_project and call('ZSCORE', prefix .. 'projects', item.project) then return true end
  if repair then
    local created_at = call('HGET', key('project', item.project), 'created_at')
    call('ZADD', items, 'NX', item.seq, item.id)
    call('ZADD', prefix .. 'projects', 'NX', created_at or now, item.project)
  end
  return false
end

local function check(id, findings)
  local item, damaged = find_item(id)
  local is_right = item and belongs(item)
  if damaged then
    table.insert(findings, {id, 'damaged', damaged})
    if repair then quarantine('item', id, damaged) end
  elseif not is_right then
    local state = item and item.state or 'missing'
    table.insert(findings, {id, 'index', state .. ', but still in ' .. name})
  end
  if repair and not is_right then call('ZREM', prefix .. name, id) end
  if item and not is_listed(item) then
    table.insert(findings, {id, 'listed', 'not listed in ' .. item.project})
  end
end

-- A step that a damaged key has stopped is behind all others. A repair lets later calls try
-- again.
local function check_step(entry, score, findings)
  if score ~= 'inf' then return end
  local step, id = string.match(entry, '^(%l+):(.*)$')
  table.insert(findings, {id, 'step', step .. ' stopped at a key that holds another type'})
  if repair then call('ZADD', prefix .. name, now, entry) end
end

local function audited()
  local findings = {}
  local cursor, entries = unpack(call('ZSCAN', prefix .. name, ARGV[8], 'COUNT', ARGV[9]))
  for i = 1, #entries, 2 do
    if kind == 'unfinished' then
      check_step(entries[i], entries[i + 1], findings)
    elseif not survives(check, entries[i], findings) then
      table.insert(findings, {entries[i], 'damaged', 'one of its keys holds another type'})
    end
  end
  return {cursor, findings}
end

if not repair then return guarded(audited) end
local reply
-- Only what was repaired is kept for a repeat.
return once(function()
  reply = audited()
  return #reply[2] > 0 and reply[2]
end, function(repaired)
  reply = reply or audited()
  return {reply[1], repaired or {}}
end)
