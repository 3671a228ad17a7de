-- called_at: when a function of this library was called last on this server, by any
--            caller in any namespace; if none was since the server loaded it, when this
--            function was first called. It counts as no call itself.
-- KEYS     none
-- ARGV     none
-- RETURNS  ms since the epoch
-- ERRORS   none of its own
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end
return now
