-- comment: a message to the holder of an open item, or to the next one. Its state stays.
-- KEYS     meta
-- ARGV     7 item, 8 text
-- RETURNS  {item id, state, agent}
-- ERRORS   NO_ITEM WRONG_STATE
return once(function()
  local id, text = ARGV[7], ARGV[8]
  local item = need_item(id)
  if item.state == 'completed' or item.state == 'cancelled' then refuse_state(item, 'comment') end

  local entry = report(item, 'comment', 'text', text)
  -- The item keeps its newest event: `stuck` takes that of a queued item for the one
  -- that queued it.
  local event = call('HGET', key('item', id), 'event') or ''
  emit('comment', item, 'commented', entry, 'event', event)
  return {id, item.state, item.agent}
end)
