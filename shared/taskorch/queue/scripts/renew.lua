-- renew: the holder keeps its lease for another full length. A blocked item has no clock to renew.
-- KEYS     meta
-- ARGV     7 item, 8 token
-- RETURNS  receipt
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE
return once(function()
  local id, token = ARGV[7], ARGV[8]
  local item = hold(load(id), token, 'renew')

  begin(item)
  if item.state ~= 'blocked' then run(item) end
  emit('renew', item)
  return receipt(item)
end)
