-- records: items with all that the mirror writes about them; an id without an item is
--          skipped.
-- KEYS     meta
-- ARGV     7 ':' and the session whose tokens are wanted, or '' for none, 8 item, then
--          more of them
-- RETURNS  {{item view, project view, {report …}, {own discovery …}, token of that
--          session or '', findings} …}, entries the oldest first
-- ERRORS   none of its own
local wanted_session = ARGV[7]

local function discoveries(project, id)
  local found = {}
  for _, cursor in ipairs(call('LRANGE', key('found', id), 0, -1)) do
    local entry = call('XRANGE', key('discoveries', project), cursor, cursor)[1]
    if entry then table.insert(found, {project, entry}) end
  end
  return found
end

-- Returns the token of an item that the wanted session holds, else ''.
local function token_for_session(item, session)
  local is_wanted = wanted_session == ':' .. session
  return item.live_token ~= '' and is_wanted and shown_token(item) or ''
end

return guarded(function()
  local records = {}
  for _, view in ipairs(item_views({unpack(ARGV, 8)})) do
    local id, fields = view[1], view[2]
    local project = value_of(fields, 'project') or ''
    local reports = read_reports(id, 'XRANGE', '-', '+')
    local found = discoveries(project, id)
    local item, token = find_item(id), ''
    if item then token = token_for_session(item, value_of(fields, 'holder_session') or '') end
    -- Only the holder may see the request id that is the claim of its token.
    if item and token == '' then
      reports = without_request(reports, item.claim)
      for _, discovery in ipairs(found) do without_request({discovery[2]}, item.claim) end
    end
    local findings = findings_view(id, project, shown_dependencies(fields))
    table.insert(records, {view, project_view(project), reports, found, token, findings})
  end
  return records
end)
