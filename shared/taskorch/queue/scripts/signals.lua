-- signals: what gateways tell their waiting clients, beside the events, after a cursor.
-- KEYS     meta
-- ARGV     7 cursor, or '' for none but the newest cursor
-- RETURNS  {'1' if the signal of the cursor still exists, else '', cursor to continue from,
--          {{kind: 'wake', 'view' or 'access_token', its agent, owner or token} …}}
-- ERRORS   none of its own
local MAX_SIGNALS, FROM_THE_START = 400, '0-0'
local cursor = ARGV[7]
return guarded(function()
  local stream, found = prefix .. 'signals', {}
  if cursor == '' then
    local newest = call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    return {'1', newest and newest[1] or FROM_THE_START, found}
  end
  local is_known = cursor == FROM_THE_START or #call('XRANGE', stream, cursor, cursor) > 0
  for _, entry in ipairs(call('XRANGE', stream, '(' .. cursor, '+', 'COUNT', MAX_SIGNALS)) do
    cursor = entry[1]
    table.insert(found, {value_of(entry[2], 'kind') or '', value_of(entry[2], 'name') or ''})
  end
  return {is_known and '1' or '', cursor, found}
end)
