-- inbox: the items with an open question, the one that waits longest first; a page of
--        them.
-- KEYS     meta
-- ARGV     7 project or '' for all, 8 number of items to skip, 9 maximum number
-- RETURNS  {number to skip next time, or '' at the end, {item view …}}
-- ERRORS   NO_PROJECT
local project, from, limit = scope.project_or_own(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local rows = {}

local function add(id, since) table.insert(rows, {id, tonumber(since)}) end

local function is_wanted(id)
  local item = find_item(id)
  return item and (project == '' or item.project == project)
end

-- An older version listed its blocked items only in their own index: they are on the
-- first page.
local function add_blocked()
  local blocked = call('ZRANGE', prefix .. 'blocked', 0, limit - 1, 'WITHSCORES')
  for i = 1, #blocked, 2 do
    local id, since = blocked[i], blocked[i + 1]
    local is_listed = call('ZSCORE', prefix .. 'questions', id)
    if not is_listed and is_wanted(id) then add(id, since) end
  end
end

return guarded(function()
  if project ~= '' then Project.need(project) end
  local index = project == '' and prefix .. 'questions' or key('questions', project)
  local asked = call('ZRANGE', index, from, from + limit - 1, 'WITHSCORES')
  for i = 1, #asked, 2 do add(asked[i], asked[i + 1]) end
  if from == 0 then add_blocked() end
  table.sort(rows, function(a, b)
    if a[2] == b[2] then return a[1] < b[1] end
    return a[2] < b[2]
  end)
  local ids, is_asked = {}, {}
  for i = 1, #asked, 2 do is_asked[asked[i]] = true end
  for i, row in ipairs(rows) do ids[i] = row[1] end
  local views, looked_at = View.items(ids)
  local passed = 0
  for i = 1, looked_at do
    if is_asked[ids[i]] then passed = passed + 1 end
  end
  local has_more = #asked == 2 * limit or looked_at < #ids
  return {has_more and tostring(from + passed) or '', views}
end)
