-- metrics: a part of the figures of the namespace: its counters, or the counts of some
--          projects, of some agents or what they have used, or of some pools.
-- KEYS     meta
-- ARGV     7 part: 'counters', 'hours', 'projects', 'agents', 'pools' or 'usage', 8 cursor of
--          a part of projects, agents or pools, else ''
-- RETURNS  what the function of the part returns, below
-- ERRORS   none of its own
-- Projects and agents that a call looks at, about.
local PROJECTS, AGENTS = 150, 30
local ORDER = {
  'pending', 'waiting', 'queued', 'in_progress', 'blocked', 'review', 'delayed', 'completed',
  'failed', 'cancelled',
}
local FIELDS = {}
for place, state in ipairs(ORDER) do FIELDS[place] = 'n_' .. state end

local parts = {}

-- {now, since when the first blocked item is, or '', {field, value …} of the counters,
-- {histogram, {upper bound of a bucket in s …} …}}
function parts.counters()
  local fields, buckets = {}, {}
  for field, value in pairs(Counters.read('counters')) do
    table.insert(fields, field)
    table.insert(fields, value)
  end
  for histogram, bounds in pairs(Counters.BUCKETS) do
    table.insert(buckets, histogram)
    table.insert(buckets, bounds)
  end
  local blocked = call('ZRANGE', prefix .. 'blocked', 0, 0, 'WITHSCORES')[2] or ''
  return {now, blocked, fields, buckets}
end

-- {now, the totals as JSON, {hour, the totals when it began …}, {upper bound of a bucket of
-- the time in the queue …}}
function parts.hours()
  local hours = {}
  for hour, totals in pairs(Counters.read('hours')) do
    table.insert(hours, hour)
    table.insert(hours, totals)
  end
  return {now, Counters.totals(), hours, Counters.BUCKETS.queue_wait}
end

-- {next cursor, {state, number of items …}}
function parts.projects(cursor)
  local next_cursor, projects = unpack(call('ZSCAN', prefix .. 'projects', cursor, 'COUNT', PROJECTS))
  local counts, flat = {}, {}
  for i = 1, #projects, 2 do
    local kept = read_hash('project', projects[i], 'HMGET', unpack(FIELDS)) or {}
    for place in ipairs(ORDER) do
      counts[place] = (counts[place] or 0) + (tonumber(kept[place] or 0) or 0)
    end
  end
  for place, state in ipairs(ORDER) do
    table.insert(flat, state)
    table.insert(flat, counts[place] or 0)
  end
  return {next_cursor, flat}
end

-- {next cursor, {{agent, ms of its last call, number of items it holds, number queued,
-- since when the oldest of these is, or ''} …}}
function parts.agents(cursor)
  local next_cursor, agents = unpack(call('ZSCAN', prefix .. 'agents', cursor, 'COUNT', AGENTS))
  local rows = {}
  for i = 1, #agents, 2 do
    local name, last_seen = agents[i], agents[i + 1]
    local queue = key('queue', name)
    local queued = call('ZCARD', queue)
    table.insert(rows, {name, last_seen, call('ZCARD', key('held', name)), queued,
      queued > 0 and View.queued_since(queue) or ''})
  end
  return {next_cursor, rows}
end

-- {next cursor, {{agent, model, four numbers as one text} …}}
function parts.usage(cursor)
  local next_cursor, agents = unpack(call('ZSCAN', prefix .. 'agents', cursor, 'COUNT', AGENTS))
  local rows = {}
  for i = 1, #agents, 2 do
    for field, value in pairs(Counters.read('agent:' .. agents[i] .. ':usage')) do
      local model = string.match(field, '^model:(.*)$')
      local used = Usage.text(Usage.numbers(value))
      if model then table.insert(rows, {agents[i], model, used}) end
    end
  end
  return {next_cursor, rows}
end

-- {next cursor, {{pool, number of agents that take items from it, number queued, since when
-- the oldest of these is, or ''} …}}
function parts.pools(cursor)
  local next_cursor, pools = unpack(call('ZSCAN', prefix .. 'pools', cursor, 'COUNT', AGENTS))
  local rows = {}
  for i = 1, #pools, 2 do
    local queue = key('queue', Owner.of_pool(pools[i]))
    local queued = call('ZCARD', queue)
    table.insert(rows, {pools[i], call('ZCARD', key('members', pools[i])), queued,
      queued > 0 and View.queued_since(queue) or ''})
  end
  return {next_cursor, rows}
end

return guarded(function() return parts[ARGV[7]](ARGV[8]) end)
