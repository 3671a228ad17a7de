-- timeline: an item with all its details, and what happened to it, page by page: the
--           newest reports and discoveries first.
-- KEYS     meta
-- ARGV     7 item, 8 id of the oldest report that was read, 9 number of discoveries that
--          were read; both '' to begin
-- RETURNS  {{package} or {} after the first page, {report …} the newest first and without
--          those of the package, {discovery …} the oldest first, number of discoveries
--          read, with those that are gone}
-- ERRORS   NO_ITEM
local PAGE = 200
local id, before, seen = ARGV[7], ARGV[8], tonumber(ARGV[9]) or 0

local function discoveries(cursors)
  local project, found = call('HGET', key('item', id), 'project') or '', {}
  for _, cursor in ipairs(cursors) do
    local entry = call('XRANGE', key('discoveries', project), cursor, cursor)[1]
    if entry then table.insert(found, {project, without_request({entry})[1]}) end
  end
  return found
end

return guarded(function()
  local package, reports = {}, {}
  if before == '' then
    package = {package_view(id)}
  else
    reports = call('XREVRANGE', key('progress', id), '(' .. before, '-', 'COUNT', PAGE)
  end
  local cursors = call('LRANGE', key('found', id), -seen - PAGE, -seen - 1)
  return {package, without_request(reports), discoveries(cursors), #cursors}
end)
