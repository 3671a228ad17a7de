-- note: a private memo of the caller on an item assigned to it. A memo with an origin
--       may be of a former agent.
-- KEYS     meta
-- ARGV     7 item, 8 text, then field, value … of its origin
-- RETURNS  {entry id}
-- ERRORS   NO_ITEM NOT_YOURS
local NOTES_KEPT = 1000

return once(function()
  local id, text = ARGV[7], ARGV[8]
  local item = need_item(id)
  local has_origin = #ARGV > 8
  local is_own = item.agent == caller.agent or Owner.was_claimer(item)
  if not (is_own or has_origin) then refuse_not_yours(item) end

  seen()
  call('SADD', key('noted', id), caller.agent)
  return {call('XADD', key('notes', caller.agent .. ':' .. id), 'MAXLEN', '~', NOTES_KEPT, '*',
    'text', text, unpack(ARGV, 9))}
end)
