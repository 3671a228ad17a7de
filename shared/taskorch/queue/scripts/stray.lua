-- stray: keeps a report of an agent that does not hold the item in its history, and
--        changes nothing else.
-- KEYS     meta
-- ARGV     7 item, 8 text, 9 percent or '', then field, value … of its origin
-- RETURNS  {item id, state}
-- ERRORS   NO_ITEM
return once(function()
  local id, text, percent = ARGV[7], ARGV[8], ARGV[9]
  local item = need_item(id)

  report(item, 'stray', 'text', text, 'percent', percent, unpack(ARGV, 10))
  local since = changed_at(id, item)
  keep_since(item, emit('stray', item), since)
  return {id, item.state}
end)
