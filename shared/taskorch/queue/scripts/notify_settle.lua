-- notify_settle: says how an attempt to send notifications to a target ended.
-- KEYS     meta
-- ARGV     7 target, 8 service, 9 batch, 10 'sent', 'retry' or 'failed', 11 reason, or '', 12
--          ms until the next batch or attempt
-- RETURNS  {'1' if it was recorded, else ''}
-- ERRORS   none of its own
return once(function()
  local target, service, batch, outcome = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local record = key('notify', target)
  local kept, holder = unpack(call('HMGET', record, 'batch', 'service'))
  if kept ~= batch or holder ~= service then return {''} end

  call('HDEL', record, 'service', 'until')
  call('HSET', record, 'not_before', string.format('%d', now + ARGV[12]))
  if outcome ~= 'retry' then call('HDEL', record, 'batch', 'notifications', 'attempt') end
  if outcome == 'sent' then
    call('HINCRBY', record, 'sent', 1)
    call('HSET', record, 'sent_at', now)
  else
    call('HSET', record, 'failed_at', now, 'failure', ARGV[11])
  end
  if outcome == 'failed' then call('HINCRBY', record, 'lost', 1) end
  return {'1'}
end)
