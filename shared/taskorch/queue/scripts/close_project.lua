-- close_project: completes a project. Its open items are cancelled if the caller wants
--                it, some of them in each call; until the last one it is `closing`.
-- KEYS     meta
-- ARGV     7 project, 8 '1' to cancel open items, 9 reason, which their holders read
-- RETURNS  {'1' if items are left to cancel, else '', number of items cancelled, 'repeat'
--          if it was completed before, else '', project view, {{item, numbers of its
--          questions that this closed} …}}
-- ERRORS   NO_PROJECT OPEN_ITEMS
local id, cancels, reason = ARGV[7], ARGV[8] ~= '', ARGV[9]

local function refuse_open_items(open)
  local first = Closing.open_before(id, 'inf')[1]
  refuse('OPEN_ITEMS', {project = id, open = open, first = first and first.id or ''})
end

local function is_closing() return call('HGET', key('project', id), 'status') == 'closing' end

return once(function()
  local status = Project.need(id)
  if status == 'completed' then return {'', 0, 'repeat', {}} end
  if status ~= 'closing' then
    local open = Closing.count_open(id)
    if open > 0 and not cancels then refuse_open_items(open) end
    if open == 0 then
      Closing.complete(id)
      return {'', 0, '', {}}
    end
    Closing.begin(id, reason)
  end
  local cancelled, closed = Closing.continue(id)
  return {is_closing() and '1' or '', cancelled, '', closed}
end, function(reply)
  Project.need(id) -- it may have been purged before a repeat
  return {reply[1], reply[2], reply[3], View.project(id), reply[4]}
end)
