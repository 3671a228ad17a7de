-- discover: the holder shares a finding with its project. A blocked item stays blocked.
-- KEYS     meta
-- ARGV     7 item, 8 token or '', 9 text, 10 impact, then field, value … of its origin
-- RETURNS  receipt, with the discovery's cursor as its entry
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
local DISCOVERIES_KEPT, FOUND_KEPT = 10000, 1000

return once(function()
  local id, token, text, impact = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local item = check_holder(need_item(id), token, 'discover', true)

  claim_if_queued(item)
  if item.state ~= 'blocked' then set_in_progress(item) end
  local cursor = call('XADD', key('discoveries', item.project), 'MAXLEN', '~', DISCOVERIES_KEPT, '*',
    'item', id, 'agent', caller.agent, 'text', text, 'impact', impact, 'request', request,
    unpack(ARGV, 11))
  call('RPUSH', key('found', id), cursor)
  call('LTRIM', key('found', id), -FOUND_KEPT, -1)
  emit('discover', item)
  return receipt(item, nil, cursor)
end, with_comments)
