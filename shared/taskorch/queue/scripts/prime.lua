-- prime: what the caller needs to go on after a fresh start: what it holds, with its newest notes, and its queue.
-- KEYS     meta
-- ARGV     7 how many of each at most, 8 JSON list of the caller's leases: {item, token}
-- RETURNS  {{{package, {newest note …}, token or ''} …}, how many it holds, in its queue, assigned but not ready, {queued item view …}}
-- ERRORS   NO_ITEM (of the package; items that vanished are passed over)
local NOTES = 5
local most, kept, tokens = tonumber(ARGV[7]), cjson.decode(ARGV[8]), {}

-- First what the caller has a token of that may still act, also after its lease ran out, and of that what goes on by
-- itself; then what its agent holds.
local function held()
  local ids, seen, blocked = {}, {}, {}
  local function add(id)
    if not seen[id] then table.insert(ids, id) end
    seen[id] = true
  end
  for _, lease in ipairs(kept) do
    local id = lease[1]
    local item = find(id)
    tokens[id] = lease[2]
    local acts = item and item.agent == me.agent and item.live_token ~= ''
    if acts and item.state == 'blocked' then table.insert(blocked, id) elseif acts then add(id) end
  end
  for _, id in ipairs(blocked) do add(id) end
  for _, id in ipairs(call('ZRANGE', key('held', me.agent), 0, 999)) do
    if find(id) then add(id) end
  end
  return ids
end

return guarded(function()
  local ids, briefed = held(), {}
  for i = 1, math.min(most, #ids) do
    local notes = call('XREVRANGE', key('notes', me.agent .. ':' .. ids[i]), '+', '-', 'COUNT', NOTES)
    table.insert(briefed, {package(ids[i]), notes, alive(ids[i], tokens[ids[i]] or '')})
  end
  local queue = key('queue', me.agent)
  return {briefed, #ids, call('ZCARD', queue), not_ready(me.agent),
    item_views(call('ZRANGE', queue, 0, most - 1))}
end)
