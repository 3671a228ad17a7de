-- events: what happened in the namespace after a cursor, the oldest first.
-- KEYS     meta
-- ARGV     7 cursor, 8 maximum number; a call returns at most MAX_EVENTS
-- RETURNS  {'1' if the event of the cursor still exists, else '', the newest event's id
--          or '0-0', {stream entry …}}
-- ERRORS   none of its own
local MAX_EVENTS = 150

return guarded(function()
  local stream, cursor, limit = prefix .. 'events', ARGV[7], math.min(ARGV[8], MAX_EVENTS)
  local is_known = #call('XRANGE', stream, cursor, cursor) > 0
  local entries = call('XRANGE', stream, '(' .. cursor, '+', 'COUNT', limit)
  return {is_known and '1' or '', View.newest_event(), entries}
end)
