-- progress: the holder reports on its item; a blocked item goes on.
-- KEYS     meta
-- ARGV     6 item, 7 token or '', 8 text, 9 percent or ''
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
return once(function()
  local id, token, text, percent = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
  local item = hold(id, token, 'progress', true)

  begin(item)
  run(item)
  if percent ~= '' then set(item, 'percent', percent) end
  report(item, 'progress', 'text', text, 'percent', percent)
  emit('progress', item)
  return receipt(item)
end)
