-- wait: how the question of the holder stands: what it looks at before it blocks, and with which cursor it does.
-- KEYS     meta
-- ARGV     7 item, 8 token or ''
-- RETURNS  {newest report's id or '0-0', item view, {stream entry of the answer, if there is one}}
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD
local id, token = ARGV[7], ARGV[8]

-- What was answered since the last question.
local function answer(reports)
  for _, entry in ipairs(reports) do
    local kind = value_of(entry[2], 'kind')
    if kind == 'blocker' then return {} end
    if kind == 'answer' then return {entry} end
  end
  return {}
end

return guarded(function()
  local item = load(id)
  if item.agent ~= me.agent then fail('NOT_YOURS', {item = id, agent = item.agent, caller = me.agent}) end
  if item.state == 'cancelled' then fail('CANCELLED', {item = id, reason = reason_of_cancel(id)}) end
  if token == '' and is_held(item) then held_by_another(item) end
  if token ~= '' and item.state ~= 'completed' and not is_holders(item, token) then
    fail('LEASE_LOST', {item = id, token = string.match(token, '^[^:]*'), newest = item.token, state = item.state})
  end

  local reports = call('XREVRANGE', key('progress', id), '+', '-', 'COUNT', 200)
  return {reports[1] and reports[1][1] or '0-0', item_view(id), without_request(answer(reports))}
end)
