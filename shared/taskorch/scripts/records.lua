-- records: items with all that the mirror writes of them; an item that is not there is passed over.
-- KEYS     meta
-- ARGV     7 item, then more of them
-- RETURNS  {{item view, project view, {report …}, {discovery …}} …}: the stream entries oldest first
-- ERRORS   none of its own
local function discoveries(project, item)
  local found = {}
  for _, cursor in ipairs(call('LRANGE', key('found', item), 0, -1)) do
    local entry = call('XRANGE', key('discoveries', project), cursor, cursor)[1]
    if entry then table.insert(found, entry) end
  end
  return found
end

return guarded(function()
  local records = {}
  for _, view in ipairs(item_views({unpack(ARGV, 7)})) do
    local id = view[1]
    local project = value_of(view[2], 'project')
    table.insert(records, {view, project_view(project), call('XRANGE', key('progress', id), '-', '+'), discoveries(project, id)})
  end
  return records
end)
