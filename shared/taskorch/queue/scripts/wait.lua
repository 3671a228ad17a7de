-- wait: the answers to the holder's questions, its new comments, and the cursor from
--       which it blocks.
-- KEYS     meta
-- ARGV     7 item, 8 token or '', 9 number of a question, or '' for all
-- RETURNS  {newest report's id or '0-0', item view, {stream entry of an answer, the
--          oldest first …}, {stream entry of a comment …}}: the newest answer to the
--          question; or else the answers after the newest question
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD NO_QUESTION
local id, token, wanted = ARGV[7], ARGV[8], ARGV[9]

local function answers(reports)
  local found = {}
  for _, entry in ipairs(reports) do
    local kind, number = value_of(entry[2], 'kind'), value_of(entry[2], 'question') or ''
    if kind == 'answer' and (wanted == '' or number == wanted) then
      table.insert(found, 1, entry)
      if wanted ~= '' then return found end
    elseif kind == 'blocker' and (wanted == '' or number == wanted) then
      return found
    end
  end
  return found
end

return guarded(function()
  local item = need_item(id)
  Lease.need_own(item, token)
  if item.state == 'cancelled' then Lease.refuse_cancelled(item) end
  if token == '' and is_held(item) then Lease.refuse_held(item) end
  local is_delivered = item.state == 'completed' or item.state == 'review'
  if token ~= '' and not is_delivered and not Lease.is_live(item, token) then
    Lease.refuse_lost(item, token)
  end
  local newest_number = math.max(item.asked, tonumber(item.open[#item.open] or 0))
  if wanted ~= '' and tonumber(wanted) > newest_number then
    Question.refuse_none(item, wanted, 'wait')
  end

  local reports = read_entries('XREVRANGE', key('progress', id), '+', '-', 100,
    REPORT_BYTES_LOOKED_AT)
  if #reports == 0 then reports = {Reports.completion(id)} end
  local newest = reports[1]
  local is_live = Lease.is_live(item, token)
  local comments = is_live and View.reports(id, (Lease.unread_comments(item))) or {}
  return {newest and newest[1] or '0-0', View.item(id), without_request(answers(reports)),
    comments}
end)
