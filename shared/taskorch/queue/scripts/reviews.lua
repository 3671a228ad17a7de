-- reviews: the items that wait for the decision of a reviewer, the oldest first; a page of
--          them. An agent sees those of which it is the reviewer.
-- KEYS     meta
-- ARGV     7 '1' if the caller asks as an agent, else '', 8 number of items to skip, 9
--          maximum number
-- RETURNS  {number to skip next time, or '' at the end, {item view …}}
-- ERRORS   none of its own
local MAX_VISITED = 150
local as_agent, from, limit = ARGV[7] ~= '', tonumber(ARGV[8]), tonumber(ARGV[9])

local function is_wanted(id)
  local v = read_hash('item', id, 'HMGET', 'state', 'project', 'reviewer')
  if not v or v[1] ~= 'review' or scope.is_foreign(v[2]) then return false end
  return not as_agent or v[3] == caller.agent
end

return guarded(function()
  as_agent = Review.is_of_agent(as_agent)
  local page = call('ZRANGE', prefix .. 'reviews', from, from + MAX_VISITED - 1)
  local views = {}
  for i, id in ipairs(page) do
    if #views == limit or not View.has_room() then return {tostring(from + i - 1), views} end
    if is_wanted(id) then table.insert(views, View.item(id)) end
  end
  return {#page == MAX_VISITED and tostring(from + #page) or '', views}
end)
