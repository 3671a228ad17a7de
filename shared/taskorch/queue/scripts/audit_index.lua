-- audit_index: looks for entries of an index that their items do not confirm, and drops them if told to.
-- KEYS     meta
-- ARGV     7 index: 'leases', 'queue:ada' …, 8 cursor of ZSCAN, 9 how many entries, 10 '1' to mend what is wrong
-- RETURNS  {next cursor or '0', {finding …}}
-- ERRORS   none of its own
local name, mend = ARGV[7], ARGV[10] == '1'
local kind, agent = string.match(name, '^(%l+):?(.*)$')

local function belongs(item)
  if kind == 'held' then return item.agent == agent and is_held(item) end
  if kind == 'queue' then return item.agent == agent and item.state == 'queued' end
  return INDEX[item.state] == kind
end

-- An item that only an index knows of goes back to the items of its project.
local function listed(item)
  local items = key('project', item.project) .. ':items'
  if call('ZSCORE', items, item.id) and call('ZSCORE', prefix .. 'projects', item.project) then return true end
  if mend then
    local created = call('HGET', key('project', item.project), 'created_at')
    call('ZADD', items, 'NX', item.seq, item.id)
    call('ZADD', prefix .. 'projects', 'NX', created or now, item.project)
  end
  return false
end

local function audited()
  local findings = {}
  local cursor, entries = unpack(call('ZSCAN', prefix .. name, ARGV[8], 'COUNT', ARGV[9]))
  for i = 1, #entries, 2 do
    local id = entries[i]
    local item, wrong = find(id)
    if wrong then
      table.insert(findings, {id, 'damaged', wrong})
      if mend then set_aside('item', id, wrong) end
    elseif not item or not belongs(item) then
      table.insert(findings, {id, 'index', (item and item.state or 'gone') .. ', and still in ' .. name})
    end
    if mend and (not item or not belongs(item)) then call('ZREM', prefix .. name, id) end
    if item and not listed(item) then table.insert(findings, {id, 'listed', 'not listed in ' .. item.project}) end
  end
  return {cursor, findings}
end

if not mend then return guarded(audited) end
local reply
return once(function()
  reply = audited()
  return #reply[2] > 0 and reply[2]
end, function(mended)
  reply = reply or audited()
  return {reply[1], mended or {}}
end)
