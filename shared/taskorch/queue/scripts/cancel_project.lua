-- cancel_project: cancels the open items of a project, some in each call, and closes the
--                 project when none is left.
-- KEYS     meta
-- ARGV     7 project, 8 reason, 9 number of items to skip, 10 maximum number of items to
--          look at
-- RETURNS  {number to skip next time or '' at the end, number of items cancelled, 'repeat'
--          if the project was closed before or '', project view, {{item, numbers of its
--          questions that this closed} …}}
-- ERRORS   NO_PROJECT
local id, reason, from, limit = ARGV[7], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local OPEN = {'pending', 'waiting', 'queued', 'in_progress', 'blocked', 'delayed', 'failed'}

local function count_open()
  local all = 0
  for _, state in ipairs(OPEN) do
    all = all + (tonumber(call('HGET', key('project', id), 'n_' .. state) or 0) or 0)
  end
  return all
end

return once(function()
  if need_project(id) == 'completed' then return {'', 0, 'repeat', {}} end
  local page = call('ZRANGE', key('project', id) .. ':items', from, from + limit - 1)
  local open = open_among(page)
  local closed, cancelled = cancel_items(open, reason), #open
  if #page == limit then return {tostring(from + limit), cancelled, '', closed} end

  -- Another orchestrator may have queued an item that an earlier call had cancelled: then
  -- the items are looked at from the start again.
  if count_open() > 0 then return {'0', cancelled, '', closed} end
  close_project(id)
  return {'', cancelled, '', closed}
end, function(reply)
  need_project(id) -- it may have been purged before a repeat
  return {reply[1], reply[2], reply[3], project_view(id), reply[4] or {}}
end)
