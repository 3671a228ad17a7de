-- send_back: the reviewer returns an item to the queue of its agent, to its old place; no
--            attempt is spent. Its next holder reads the text first. One that came from a
--            pool stays with the agent that knows it.
-- KEYS     meta
-- ARGV     7 item, 8 text, 9 '1' if the caller decides as an agent, else ''
-- RETURNS  {item id, state, agent, '', ''}
-- ERRORS   NO_ITEM NOT_REVIEWER OWN_WORK WRONG_STATE
return once(function()
  local id, text, as_agent = ARGV[7], ARGV[8], ARGV[9] ~= ''
  local item = need_item(id)
  Review.check_caller(item, 'send-back', as_agent)
  if item.state ~= 'review' then refuse_state(item, 'send-back') end

  if as_agent then seen() end
  report_end(item, 'send_back', 'text', text)
  call('HDEL', key('item', id), 'percent', 'evidence')
  item.pool = ''
  Lease.give_back(item)
  emit('send_back', item, 'returned', Review.returned(text))
  return {id, item.state, item.agent, '', ''}
end)
