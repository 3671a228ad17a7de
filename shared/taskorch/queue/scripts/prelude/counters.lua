-- Counters: numbers of a namespace that only increase, in the hash `counters`: each event adds to
-- one field. So that the numbers of an hour are known without a scan, the hash `hours`
-- has what they were when it began: hour (since the epoch) -> `Counters.totals` as JSON.
-- The fields of `counters`:
--   <verb>              events of the verb
--   <word>:<bucket>     events that end a time, and the sum of these times, in one number, so
--                       that one write adds to both: events * 10^12 + ms. The word is the
--                       verb, or `queue_wait` for a claim by a report; the bucket is its
--                       upper bound in s, or inf
--   <word>:<bucket>:events, <word>:<bucket>:ms  what such a number had when it was full
--
-- Fields that verbs add to an item for its event:
--   queued_ms           new_claim: how long it was queued
--   answered_ms         answer: how long the question was open
--   delivered_at        accept: when the holder completed it, in ms

-- The first word of a field -> the histogram that the field belongs to.
Counters.HISTOGRAMS = {claim = 'queue_wait', queue_wait = 'queue_wait', complete = 'duration',
  fail = 'duration', answer = 'answer_wait'}
-- Upper bounds of the buckets, in s.
Counters.BUCKETS = {
  queue_wait = {1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 10800, 43200, 86400},
  duration = {10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400},
  answer_wait = {10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400},
}
Counters.HOUR_MS, Counters.HOURS_KEPT = 3600000, 192
-- One event in a field of a bucket. The field is emptied above these sums of ms and of all:
-- there is room for the events of one more call, with times of 57 days.
Counters.EVENT, Counters.MOST_MS, Counters.MOST, Counters.LONGEST_MS = 1e12, 5e11, 9e18, 5e9

-- Returns the fields of a hash of counters; none if the key holds another type.
function Counters.read(name)
  local flat, fields = redis.pcall('HGETALL', prefix .. name), {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- Returns the events and the ms in a field of a bucket. Its digits are more than a number of
-- Lua has.
function Counters.split(value)
  local events, ms = string.match(value, '^(%d+)(%d%d%d%d%d%d%d%d%d%d%d%d)$')
  return tonumber(events or 0), tonumber(ms or 0)
end

-- Returns whether a field of a bucket has to be emptied. Its number is exact enough.
function Counters.is_full(number)
  return number > Counters.MOST or number % Counters.EVENT > Counters.MOST_MS
end

-- Moves what a field of a bucket has to fields of its own.
function Counters.empty(field)
  local name = prefix .. 'counters'
  local events, ms = Counters.split(call('HGET', name, field))
  call('HINCRBY', name, field .. ':events', events)
  call('HINCRBY', name, field .. ':ms', ms)
  call('HDEL', name, field)
end

-- Returns the word, the bucket or '' and the number of events of a field, or nil.
function Counters.parse(field, value)
  local word, bucket, kind = string.match(field, '^([a-z_]+):?(%w*):?(%l*)$')
  if not word or kind == 'ms' then return nil end
  if bucket ~= '' and kind == '' then return word, bucket, (Counters.split(value)) end
  return word, bucket, tonumber(value) or 0
end

-- Returns the numbers that `hours` keeps: events, all claims, and those of queued items by
-- the bucket of their time in the queue.
function Counters.totals()
  local totals = {create = 0, claim = 0, complete = 0, fail = 0}
  for field, value in pairs(Counters.read('counters')) do
    local word, bucket, number = Counters.parse(field, value)
    if word == 'queue_wait' then word = 'claim' end
    if word == 'claim' and bucket ~= '' then
      local wait = 'queue_wait:' .. bucket
      totals[wait] = (totals[wait] or 0) + number
    end
    if totals[word] then totals[word] = totals[word] + number end
  end
  return cjson.encode(totals)
end

-- Keeps the numbers with which an hour begins, and forgets old hours. Damaged counters stop
-- no step.
function Counters.begin_hour(hour)
  Counters.hour = hour
  call('HSET', meta, 'hour', hour)
  for field in pairs(Counters.read('hours')) do
    local is_old = (tonumber(field) or 0) <= hour - Counters.HOURS_KEPT
    if is_old then redis.pcall('HDEL', prefix .. 'hours', field) end
  end
  redis.pcall('HSET', prefix .. 'hours', hour, Counters.totals())
end

-- Counts an event with the time that it ends.
function Counters.observe(word, ms)
  local bucket = 'inf'
  ms = math.min(math.max(0, ms), Counters.LONGEST_MS)
  for _, bound in ipairs(Counters.BUCKETS[Counters.HISTOGRAMS[word]]) do
    if ms <= bound * 1000 then
      bucket = bound
      break
    end
  end
  Counters.add(word .. ':' .. bucket, Counters.EVENT + ms)
end

-- Counts the event of a verb, and the times that it ends. After a failover, the clock may be
-- behind: the hour stays.
function Counters.count(verb, item)
  local hour = math.floor(now / Counters.HOUR_MS)
  if hour > (tonumber(Counters.hour) or 0) then Counters.begin_hour(hour) end
  local queued_ms = item.queued_ms
  item.queued_ms = nil
  if verb == 'claim' and queued_ms then return Counters.observe(verb, queued_ms) end
  if queued_ms then Counters.observe('queue_wait', queued_ms) end
  if verb == 'complete' or verb == 'fail' then
    Counters.observe(verb, (item.delivered_at or now) - item.held_since)
  elseif verb == 'answer' then
    Counters.observe(verb, item.answered_ms)
  else
    Counters.add(verb, 1)
  end
end
