-- accept: the reviewer takes an item that its holder has completed. Items without another
--         open dependency are queued, as many as one call may.
-- KEYS     meta
-- ARGV     7 item, 8 text, 9 '1' if the caller decides as an agent, else ''
-- RETURNS  {item id, state, agent, 'repeat' if it was completed before, else '', '1' if
--          items that waited are left for `resume`, else ''}
-- ERRORS   NO_ITEM NOT_REVIEWER OWN_WORK WRONG_STATE
return once(function()
  local id, text, as_agent = ARGV[7], ARGV[8], ARGV[9] ~= ''
  local item = need_item(id)
  Review.check_caller(item, 'accept', as_agent)
  if item.state == 'completed' then return {id, item.state, item.agent, 'repeat', ''} end
  if item.state ~= 'review' then refuse_state(item, 'accept') end

  if as_agent then seen() end
  item.delivered_at = tonumber(call('ZSCORE', prefix .. 'reviews', id) or now)
  report(item, 'accept', 'text', text)
  move(item, 'completed')
  emit('complete', item, 'completed_at', now)
  if release_dependents(id) then note_unfinished('release:' .. id) end
  return {id, item.state, item.agent, '', leaves_some and '1' or ''}
end)
