-- add_usage: adds the usage of a claim that has ended, or not, to its item. The caller made
--            that claim, and none was made since.
-- KEYS     meta
-- ARGV     7 item, 8 token, 9 usage
-- RETURNS  {item}
-- ERRORS   NO_ITEM NOT_YOURS LEASE_LOST
return once(function()
  local item, token = need_item(ARGV[7]), ARGV[8]
  local is_in_pool_again = Owner.was_claimer(item)
  if item.agent ~= caller.agent and not is_in_pool_again then refuse_not_yours(item) end
  if token ~= Lease.shown_token(item) then Lease.refuse_lost(item, token) end

  seen()
  local usage = Usage.parse(ARGV[9])
  report(item, 'usage', unpack(Usage.words(usage)))
  local since = changed_at(item.id, item)
  local event = emit('usage', item, unpack(Usage.count(item, usage)))
  keep_since(item, event, since)
  return {item.id}
end)
