-- get: an item of the caller with all that it carries; claimed first if it is queued, or if the caller takes it over.
-- KEYS     meta
-- ARGV     7 item, 8 token or '', 9 'claim', 'peek' or 'takeover', 10 lease ms or ''
-- RETURNS  {item id, token or '', expires or '', package}: no token when the caller does not hold it
-- ERRORS   NO_ITEM NOT_YOURS HELD NO_ATTEMPTS
local id, token, mode, lease = ARGV[7], ARGV[8], ARGV[9], ARGV[10]

local function is_mine(item) return is_holders(item, token) end

-- The holder goes on, also after its lease ran out.
local function keep(item)
  local lapsed = item.state ~= 'in_progress' and item.state ~= 'blocked'
  if item.state ~= 'blocked' then run(item) end
  if lapsed then emit('renew', item) end
end

-- A blocked item stays blocked in other hands.
local function take(item)
  if item.state ~= 'queued' then report(item, 'lost', 'text', 'taken over by another session') end
  start(item, lease)
  if item.state == 'blocked' then call('ZADD', key('held', me.agent), now, id) else run(item) end
  emit('claim', item)
end

local function get()
  local item = load(id)
  current(item, mode ~= 'claim' or is_mine(item))
  if item.agent ~= me.agent then fail('NOT_YOURS', {item = id, agent = item.agent, caller = me.agent}) end
  local held = is_held(item)
  local takable = held or item.state == 'queued' or (is_mine(item) and item.state ~= 'failed')
  if mode == 'peek' or not takable then return nil end
  if held and not is_mine(item) then
    if mode ~= 'takeover' then held_by_another(item) end
    if item.attempts >= item.max_attempts then fail('NO_ATTEMPTS', {item = id, attempts = item.attempts}) end
  end

  if is_mine(item) then keep(item) else take(item) end
  return receipt(item)
end

return once(function()
  local reply = get() -- before the reaper can take the lease of the holder who asks
  touch()
  maintain(BATCH)
  return reply
end, function(reply)
  return {id, reply and alive(id, reply[2]) or '', reply and reply[3] or '', package(id)}
end)
