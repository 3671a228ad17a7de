-- records: items with all that the mirror writes about them; an id without an item is
--          skipped. Reports and discoveries are returned in parts of bounded size.
-- KEYS     meta
-- ARGV     7 ':' and the session whose tokens are wanted, or '' for none, then for each
--          item its id, and the id of the last report and the cursor of the last
--          discovery that were read, or '' to begin
-- RETURNS  {{{item view, project view, {report …}, {own discovery …}, token of that
--          session or '', findings, last report, last discovery, '1' if there are more,
--          else ''} …}, number of items that were looked at}, entries the oldest first
-- ERRORS   none of its own
-- Bytes of a call, of which an entry counts some more: to read it takes as long.
local MAX_BYTES, ENTRY_BYTES, FETCHED = 196608, 8192, 12
local wanted_session, bytes = ARGV[7], 0

-- Returns the reports after an id, at least one if there are any; then the id of the
-- last one, and whether there are more.
local function next_reports(id, last)
  local reports = {}
  while true do
    local page
    if last == '' then
      page = View.read_reports(id, 'XRANGE', '-', '+', 'COUNT', FETCHED)
    else
      page = call('XRANGE', key('progress', id), '(' .. last, '+', 'COUNT', FETCHED)
    end
    for _, entry in ipairs(page) do
      table.insert(reports, entry)
      bytes, last = bytes + ENTRY_BYTES + bytes_of(entry), entry[1]
      if bytes >= MAX_BYTES then return reports, last, true end
    end
    if #page < FETCHED then return reports, last, false end
  end
end

local function cursor_of(id) return placed({'', {id}}) end

-- Returns the cursors of an item's discoveries after one of them. The list has them in
-- their order, so that a few comparisons find the first.
local function cursors_after(id, last)
  local all = call('LRANGE', key('found', id), 0, -1)
  local read, newest = 0, last ~= '' and cursor_of(last)
  local first_unread = newest and #all + 1 or 1
  while first_unread - read > 1 do
    local middle = math.floor((read + first_unread) / 2)
    if is_before(newest, cursor_of(all[middle])) then first_unread = middle else read = middle end
  end
  return {unpack(all, first_unread)}
end

-- Returns the same of an item's own discoveries, without those that are gone. If the
-- reports leave no room, it returns none.
local function next_discoveries(project, id, last, has_reports)
  local found = {}
  for _, cursor in ipairs(cursors_after(id, last)) do
    if bytes >= MAX_BYTES and (has_reports or #found > 0) then return found, last, true end
    local entry = call('XRANGE', key('discoveries', project), cursor, cursor)[1]
    last = cursor
    if entry then
      bytes = bytes + ENTRY_BYTES + bytes_of(entry)
      table.insert(found, {project, entry})
    end
  end
  return found, last, false
end

-- Returns the token of an item that the wanted session holds, else ''.
local function token_for_session(item, session)
  local is_wanted = wanted_session == ':' .. session
  return item.live_token ~= '' and is_wanted and Lease.shown_token(item) or ''
end

local function record(view, last_report, last_discovery)
  local id, fields = view[1], view[2]
  local project = value_of(fields, 'project') or ''
  local reports, report, more_reports = next_reports(id, last_report)
  local found, discovery, more_found = next_discoveries(project, id, last_discovery,
    #reports > 0)
  local item, token = find_item(id), ''
  if item then token = token_for_session(item, value_of(fields, 'holder_session') or '') end
  -- Only the holder may see the request id that is the claim of its token.
  if item and token == '' then
    without_request(reports, item.claim)
    for _, each in ipairs(found) do without_request({each[2]}, item.claim) end
  end
  -- The item itself takes no room from its reports, or a large one needs many calls.
  bytes = bytes + bytes_of(view)
  local has_more = more_reports or more_found
  return {view, View.project(project), reports, found, token,
    findings_view(id, project, View.shown_dependencies(fields)), report, discovery,
    has_more and '1' or ''}
end

return guarded(function()
  local records, looked_at = {}, 0
  for i = 8, #ARGV, 3 do
    if looked_at > 0 and bytes >= MAX_BYTES then break end
    looked_at = looked_at + 1
    local view = View.item(ARGV[i])
    local is_shown = #view[2] > 0 and not scope.is_foreign(value_of(view[2], 'project'))
    if is_shown then table.insert(records, record(view, ARGV[i + 1], ARGV[i + 2])) end
  end
  return {records, looked_at}
end)
