-- prime: what an agent needs after a fresh start: the items it holds, with their newest
--        notes, its queue and its pools.
-- KEYS     meta
-- ARGV     7 maximum number of items of each, 8 JSON list of the caller's leases:
--          {item, token}
-- RETURNS  {{{package, {newest note …}, token or '', {id of a new comment …}} …}, number
--          of items it holds, number in its queue and its pools, assigned but not ready,
--          {queued item view …}, {pool of the caller, number of items that are ready in it
--          …}, number of items that wait for its review, among the oldest in review, {words
--          of the budget that is used up, if one keeps it from claims}}
-- ERRORS   NO_ITEM (of the package; items that vanished are skipped)
local NOTES, MAX_HELD, MAX_PACKAGES, MAX_REVIEWS = 5, 500, 20, 100
local limit, leases = tonumber(ARGV[7]), cjson.decode(ARGV[8])
local tokens = {}

-- Returns the ids of the items: first those whose lease the caller keeps and whose
-- token may still act, even if the lease has expired, the blocked ones last; then what
-- its agent holds.
local function held_ids()
  local ids, is_listed, blocked = {}, {}, {}
  local function add(id)
    if not is_listed[id] then table.insert(ids, id) end
    is_listed[id] = true
  end
  for _, lease in ipairs(leases) do
    local id, token = lease[1], lease[2]
    local item = find_item(id)
    tokens[id] = token
    if item then Lease.return_to_claimer(item, lease[2]) end
    local is_own = item and item.agent == caller.agent and not scope.is_foreign(item.project)
    local may_act = is_own and item.live_token ~= ''
    if may_act and item.state == 'blocked' then
      table.insert(blocked, id)
    elseif may_act then
      add(id)
    end
  end
  for _, id in ipairs(blocked) do add(id) end
  for _, id in ipairs(call('ZRANGE', key('held', caller.agent), 0, MAX_HELD - 1)) do
    local item = find_item(id)
    if item and not scope.is_foreign(item.project) then add(id) end
  end
  return ids
end

local function count_reviews()
  local count = 0
  for _, id in ipairs(call('ZRANGE', prefix .. 'reviews', 0, MAX_REVIEWS - 1)) do
    local v = read_hash('item', id, 'HMGET', 'reviewer', 'project')
    if v and v[1] == caller.agent and not scope.is_foreign(v[2]) then count = count + 1 end
  end
  return count
end

-- Returns the words of the budget that keeps the caller from the first items of its queue.
local function over_budget(queued)
  local over = Budget.of_agent(caller.agent)
  if over then return over end
  for _, view in ipairs(queued) do
    over = Budget.of_project(value_of(view[2], 'project') or '')
    if not over then return {} end
  end
  return over or {}
end

return guarded(function()
  local ids, held = held_ids(), {}
  for i = 1, math.min(limit, MAX_PACKAGES, #ids) do
    if not View.has_room() and i > 1 then break end
    local id = ids[i]
    local notes = read_entries('XREVRANGE', key('notes', caller.agent .. ':' .. id), '+', '-', NOTES,
      MAX_REPLY_BYTES)
    local token = Lease.token_if_live(id, tokens[id] or '')
    local comments = token ~= '' and Lease.unread_comments(find_item(id)) or {}
    table.insert(held, {package_view(id), notes, token, comments})
  end
  local views = View.items(scope.queued_ids(limit))
  local reviews, over = count_reviews(), over_budget(views)
  if confined ~= '' then return {held, #ids, #views, 0, views, {}, reviews, over} end
  local queued, in_pools = View.count_queued()
  return {held, #ids, queued, View.count_not_ready(caller.agent), views, in_pools, reviews, over}
end)
