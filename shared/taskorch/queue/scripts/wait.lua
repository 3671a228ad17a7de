-- wait: the state of the holder's question, its new comments, and the cursor from which
--       it blocks.
-- KEYS     meta
-- ARGV     7 item, 8 token or ''
-- RETURNS  {newest report's id or '0-0', item view, {stream entry of the answer, if
--          there is one}, {stream entry of a comment …}}
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD
local id, token = ARGV[7], ARGV[8]

-- Returns the answer that came after the newest question.
local function answer(reports)
  for _, entry in ipairs(reports) do
    local kind = value_of(entry[2], 'kind')
    if kind == 'blocker' then return {} end
    if kind == 'answer' then return {entry} end
  end
  return {}
end

return guarded(function()
  local item = need_item(id)
  if item.agent ~= caller.agent then refuse_not_yours(item) end
  if item.state == 'cancelled' then refuse_cancelled(item) end
  if token == '' and is_held(item) then refuse_held(item) end
  if token ~= '' and item.state ~= 'completed' and not is_live(item, token) then
    refuse_lease_lost(item, token)
  end

  local reports = call('XREVRANGE', key('progress', id), '+', '-', 'COUNT', 200)
  local newest = reports[1]
  local comments = is_live(item, token) and reports_of(id, (unread_comments(item))) or {}
  return {newest and newest[1] or '0-0', item_view(id), without_request(answer(reports)), comments}
end)
