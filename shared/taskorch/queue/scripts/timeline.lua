-- timeline: an item with all its details, and what happened to it, page by page: the
--           newest reports and discoveries first.
-- KEYS     meta
-- ARGV     7 item, 8 id of the oldest report that was read, 9 number of discoveries that
--          were read; both '' to begin
-- RETURNS  {{package} or {} after the first page, {report …} the newest first and without
--          those of the package, {discovery …} the oldest first, number of discoveries
--          read, with those that are gone, '1' if there are older reports, else '', the
--          same of discoveries, {{id, title, state} of an item that waits for it …}, number
--          of those that are left out; none after the first page}
-- ERRORS   NO_ITEM
local PAGE, DEPENDENTS_SHOWN = 30, 30
local id, before, seen = ARGV[7], ARGV[8], tonumber(ARGV[9]) or 0

-- Returns the newest discoveries that were not read, the oldest first; the number that was
-- read, and whether there are more.
local function discoveries()
  local project, found = call('HGET', key('item', id), 'project') or '', {}
  local cursors = call('LRANGE', key('found', id), -seen - PAGE - 1, -seen - 1)
  local most, read = bytes_read + MAX_REPLY_BYTES, 0
  for i = #cursors, 1, -1 do
    if read == PAGE or bytes_read >= most then return found, read, true end
    read = read + 1
    local entry = call('XRANGE', key('discoveries', project), cursors[i], cursors[i])[1]
    if entry then
      bytes_read = bytes_read + bytes_of(entry)
      table.insert(found, 1, {project, without_request({entry})[1]})
    end
  end
  return found, read, false
end

-- Returns some of the items that wait for this one, and the number of the others.
local function dependents()
  local found, number = {}, read_hash('dependents', id, 'SCARD') or 0
  if number == 0 then return found, 0 end
  local ids = read_hash('dependents', id, 'SSCAN', '0', 'COUNT', DEPENDENTS_SHOWN)[2]
  table.sort(ids)
  for i = 1, math.min(#ids, DEPENDENTS_SHOWN) do
    local project, title, state = unpack(call('HMGET', key('item', ids[i]), 'project', 'title',
      'state'))
    local is_shown = project and title and state and not scope.is_foreign(project)
    if is_shown then table.insert(found, {ids[i], title, state}) end
  end
  return found, number - #found
end

return guarded(function()
  scope.refuse_foreign_item(id)
  local package, reports, has_older = {}, {}, false
  local waiting, left_out = {}, 0
  if before == '' then
    package = {package_view(id)}
    has_older = package[1][6][2] ~= ''
    waiting, left_out = dependents()
  else
    reports, has_older = reports_before(id, before)
  end
  local found, read, has_more = discoveries()
  return {package, reports, found, read, has_older and '1' or '', has_more and '1' or '',
    waiting, left_out}
end)
