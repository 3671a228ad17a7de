-- events: what happened in the namespace after a cursor, oldest first.
-- KEYS     meta
-- ARGV     7 cursor, 8 how many at most
-- RETURNS  {'1' if the event of the cursor is still there, else '', the newest event's id or '0-0', {stream entry …}}
-- ERRORS   none of its own
return guarded(function()
  local stream, cursor = prefix .. 'events', ARGV[7]
  local known = #call('XRANGE', stream, cursor, cursor) > 0
  return {known and '1' or '', newest_event(), call('XRANGE', stream, '(' .. cursor, '+', 'COUNT', ARGV[8])}
end)
