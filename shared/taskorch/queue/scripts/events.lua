-- events: what happened in the namespace after a cursor, the oldest first.
-- KEYS     meta
-- ARGV     7 cursor, 8 maximum number; a call looks at MAX_EVENTS at most
-- RETURNS  {'1' if the event of the cursor still exists, else '', the newest event's id
--          or '0-0', {stream entry …}, cursor to continue from}; to a caller that is
--          confined to a project, the events of that project
-- ERRORS   none of its own
local MAX_EVENTS = 100
local stream, cursor, limit = prefix .. 'events', ARGV[7], math.min(ARGV[8], MAX_EVENTS)

-- Returns the events of the caller's project among some of all projects, and the cursor of
-- the last one that was looked at.
local function of_own_project(entries)
  local own = {}
  for _, entry in ipairs(entries) do
    if #own == limit then break end
    cursor = entry[1]
    if value_of(entry[2], 'project') == confined then table.insert(own, entry) end
  end
  return own
end

return guarded(function()
  local is_known = #call('XRANGE', stream, cursor, cursor) > 0
  local most, newest = confined == '' and limit or MAX_EVENTS, View.newest_event()
  local entries = call('XRANGE', stream, '(' .. cursor, '+', 'COUNT', most)
  if #entries == 0 then
    cursor = newest
  elseif confined == '' then
    cursor = entries[#entries][1]
  else
    entries = of_own_project(entries)
  end
  return {is_known and '1' or '', newest, entries, cursor}
end)
