-- notes: the caller's own notes on an item, the oldest first; a page of them.
-- KEYS     meta
-- ARGV     7 item, 8 id of the last note that was read, or '' to begin
-- RETURNS  {{stream entry …}, '1' if there are more, else ''}
-- ERRORS   NO_ITEM
local MAX_NOTES = 100
local id, last = ARGV[7], ARGV[8]

return guarded(function()
  need_item(id)
  local from = last == '' and '-' or '(' .. last
  local notes, has_more = read_entries('XRANGE', key('notes', caller.agent .. ':' .. id), from, '+',
    MAX_NOTES, MAX_REPLY_BYTES)
  return {notes, has_more and '1' or ''}
end)
