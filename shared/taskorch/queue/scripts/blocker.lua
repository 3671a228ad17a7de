-- blocker: the holder cannot go on without an answer; it keeps its token, and no clock runs.
-- KEYS     meta
-- ARGV     7 item, 8 token or '', 9 text, 10 needs, then field, value … of its origin
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
return once(function()
  local id, token, text, needs = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local item = hold(load(id), token, 'blocker', true)

  begin(item)
  resume(item)
  if item.state ~= 'blocked' then move(item, 'blocked', now) end
  report(item, 'blocker', 'text', text, 'needs', needs, unpack(ARGV, 11))
  emit('blocker', item, 'blocker', text, 'needs', needs)
  return receipt(item)
end)
