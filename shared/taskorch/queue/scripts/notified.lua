-- notified: what became of the notifications for some targets.
-- KEYS     meta
-- ARGV     then targets
-- RETURNS  {{number of messages sent, ms of the last one or '', number of lost ones, ms of the
--          last failure or '', its reason or '', '1' if one waits or is being sent} …}
-- ERRORS   none of its own
return guarded(function()
  local rows = {}
  for i = 7, #ARGV do
    local v = call('HMGET', key('notify', ARGV[i]), 'sent', 'sent_at', 'lost', 'failed_at',
      'failure', 'batch')
    table.insert(rows, {tonumber(v[1] or 0), v[2] or '', tonumber(v[3] or 0), v[4] or '',
      v[5] or '', v[6] and '1' or ''})
  end
  return rows
end)
