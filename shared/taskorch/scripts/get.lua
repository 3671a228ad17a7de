-- get: an item of the caller with all that it carries; claimed first if it is queued, or if the caller takes it over.
-- KEYS     meta
-- ARGV     6 item, 7 token or '', 8 'claim', 'peek' or 'takeover', 9 lease ms or ''
-- RETURNS  {item id, token or '', expires or '', package}: no token when the caller does not hold it
-- ERRORS   NO_ITEM NOT_YOURS HELD
local id, token, mode, lease = ARGV[6], ARGV[7], ARGV[8], ARGV[9]

return once(function()
  touch()
  maintain(BATCH)
  local item = load(id)
  if item.agent ~= me.agent then fail('NOT_YOURS', {item = id, agent = item.agent, caller = me.agent}) end
  local mine = token ~= '' and token == item.live_token
  if mode == 'peek' then return nil end
  if not mine and overdue(item) then expire(item) end
  local held = item.state == 'in_progress' or item.state == 'blocked'
  if held and not mine and mode ~= 'takeover' then held_by_another(item) end

  if mine then
    local lapsed = item.state ~= 'in_progress' and item.state ~= 'blocked'
    if item.state ~= 'blocked' then run(item) end
    if lapsed then emit('renew', item) end
  elseif held then
    item.attempts = item.attempts - 1 -- the attempt goes on in other hands
    start(item, lease)
    run(item)
    emit('claim', item)
  elseif item.state == 'queued' then
    start(item, lease)
    run(item)
    emit('claim', item)
  else
    return nil
  end
  return receipt(item)
end, function(reply)
  return {id, reply and reply[2] or '', reply and reply[3] or '', package(id)}
end)
