-- records: items with all that the mirror writes of them; an item that is not there is passed over.
-- KEYS     meta
-- ARGV     7 ':' and the session whose leases are wanted, or '' for none, 8 item, then more of them
-- RETURNS  {{item view, project view, {report …}, {discovery …}, token of that session or ''} …}: entries oldest first
-- ERRORS   none of its own
local function discoveries(project, item)
  local found = {}
  for _, cursor in ipairs(call('LRANGE', key('found', item), 0, -1)) do
    local entry = call('XRANGE', key('discoveries', project), cursor, cursor)[1]
    if entry then table.insert(found, entry) end
  end
  return found
end

-- The token of an item, where the session that is asked for holds it.
local function token_of(item, session)
  return item and item.live_token ~= '' and ARGV[7] == ':' .. session and shown(item) or ''
end

-- The entries; but where somebody else holds the item, without the request that is the claim of its token.
local function reports(id, item, token)
  local entries = call('XRANGE', key('progress', id), '-', '+')
  return item and token == '' and without_request(entries, item.claim) or entries
end

return guarded(function()
  local records = {}
  for _, view in ipairs(item_views({unpack(ARGV, 8)})) do
    local id = view[1]
    local project, item = value_of(view[2], 'project') or '', find(id)
    local token = token_of(item, value_of(view[2], 'holder_session') or '')
    local found = discoveries(project, id)
    if item and token == '' then found = without_request(found, item.claim) end
    table.insert(records, {view, project_view(project), reports(id, item, token), found, token})
  end
  return records
end)
