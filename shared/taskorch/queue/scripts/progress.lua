-- progress: the holder reports on its item; a blocked item goes on.
-- KEYS     meta
-- ARGV     7 item, 8 token or '', 9 text, 10 percent or '', then field, value … of its origin
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
return once(function()
  local id, token, text, percent = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local item = hold(load(id), token, 'progress', true)

  begin(item)
  run(item)
  report(item, 'progress', 'text', text, 'percent', percent, unpack(ARGV, 11))
  emit('progress', item, unpack(percent ~= '' and {'percent', percent} or {}))
  return receipt(item)
end)
