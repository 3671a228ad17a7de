-- note: a private memo of the caller on an item assigned to it; one with an origin may be of a former agent.
-- KEYS     meta
-- ARGV     7 item, 8 text, then field, value … of its origin
-- RETURNS  {entry id}
-- ERRORS   NO_ITEM NOT_YOURS
local NOTES_KEPT = 1000

return once(function()
  local id, text = ARGV[7], ARGV[8]
  local item = load(id)
  local has_origin = #ARGV > 8
  if item.agent ~= me.agent and not has_origin then
    fail('NOT_YOURS', {item = id, agent = item.agent, caller = me.agent})
  end

  touch()
  call('SADD', key('noted', id), me.agent)
  return {call('XADD', key('notes', me.agent .. ':' .. id), 'MAXLEN', '~', NOTES_KEPT, '*', 'text', text,
    unpack(ARGV, 9))}
end)
