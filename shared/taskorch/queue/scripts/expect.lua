-- expect: makes an empty stream of the reports of an item, for a caller that is going to
--         block on it: a completion without other reports is reported there only if there
--         is a stream.
-- KEYS     meta
-- ARGV     7 item
-- RETURNS  {item id}
-- ERRORS   NO_ITEM
local id = ARGV[7]

-- Nothing is kept for a repeat: it finds the stream.
return once(function()
  local stream, item = key('progress', id), need_item(id)
  if item.state ~= 'completed' and call('EXISTS', stream) == 0 then
    call('XADD', stream, 'MAXLEN', 0, '*', 'kind', 'none')
  end
end, function() return {id} end)
