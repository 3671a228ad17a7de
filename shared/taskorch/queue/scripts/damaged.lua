-- damaged: what was moved aside because it was damaged, page by page, the oldest first.
-- KEYS     meta
-- ARGV     7 number of the first one, from 1, 8 maximum number
-- RETURNS  {number of all, {{field, value …} …}}: its fields, and `:kind`, `:id`,
--          `:why`, `:at` in ms
-- ERRORS   none of its own
return guarded(function()
  local from, limit = tonumber(ARGV[7]), tonumber(ARGV[8])
  local all = tonumber(call('HGET', meta, 'damaged') or 0)
  local found = {}
  for number = from, math.min(all, from + limit - 1) do
    table.insert(found, call('HGETALL', key('damaged', number)))
  end
  return {all, found}
end)
