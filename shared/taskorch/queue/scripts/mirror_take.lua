-- mirror_take: takes the right to write the files of a root for some time, or renews
--              it.
-- KEYS     meta
-- ARGV     7 root, 8 writer, 9 lease ms
-- RETURNS  {'1' if the caller has it, else '', the writer, ms when its right ends, ms
--          when the namespace was created}
-- ERRORS   none of its own
return once(function()
  local root, writer, lease = ARGV[7], ARGV[8], ARGV[9]
  local mirror = key('mirror', root)
  local holder, ends = unpack(call('HMGET', mirror, 'writer', 'until'))
  local created_at = call('HGET', meta, 'created_at')
  local is_others = holder and holder ~= writer
  if is_others and tonumber(ends) > now then return {'', holder, ends, created_at} end

  ends = string.format('%d', now + lease)
  call('HSET', mirror, 'writer', writer, 'until', ends)
  call('ZADD', prefix .. 'mirrors', 'NX', 0, root)
  return {'1', writer, ends, created_at}
end)
