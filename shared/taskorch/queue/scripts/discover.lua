-- discover: the holder shares a finding with its project. A blocked item stays blocked.
-- KEYS     meta
-- ARGV     7 item, 8 token or '', 9 text, 10 impact, then field, value … of its origin
-- RETURNS  receipt, with the discovery's cursor as its entry
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE OVER_BUDGET
local DISCOVERIES_KEPT, FOUND_KEPT = 10000, 1000
-- Bytes of the texts of a project's discoveries, and what one call drops to make room.
local MAX_DISCOVERY_BYTES = 33554432
local MAX_DROPPED, MAX_DROPPED_BYTES = 1000, 262144

-- Returns the bytes of a project's discoveries before an entry. Each has in `total` those
-- up to itself, so that the first and the last one tell what the stream has.
local function bytes_before(entry)
  local total = tonumber(value_of(entry[2], 'total') or 0) or 0
  return total - #(value_of(entry[2], 'text') or '') - #(value_of(entry[2], 'impact') or '')
end

-- Adds to a number of a project, which starts again if it is damaged.
local function add(project, field, by)
  local sum = redis.pcall('HINCRBY', key('project', project), field, by)
  if type(sum) ~= 'table' then return sum end
  call('HSET', key('project', project), field, by)
  return by
end

-- Returns how XADD trims the discoveries of a project, of which `total` bytes were written
-- so far: by their number, or to the first id that the bytes allow.
local function trimming(project, total)
  local stream = key('discoveries', project)
  local oldest = call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if not oldest or total - bytes_before(oldest) <= MAX_DISCOVERY_BYTES then
    return 'MAXLEN', '~', DISCOVERIES_KEPT
  end
  local entries = read_entries('XRANGE', stream, '-', '+', MAX_DROPPED + 1, MAX_DROPPED_BYTES)
  local first = 1
  while first < #entries and total - bytes_before(entries[first]) > MAX_DISCOVERY_BYTES do
    first = first + 1
  end
  add(project, 'dropped', first - 1)
  return 'MINID', '=', entries[first][1]
end

return once(function()
  local id, token, text, impact = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local item = Lease.check_holder(need_item(id), token, 'discover', true)
  Lease.refuse_over_budget(item, ARGV[11])

  Lease.claim_if_queued(item)
  if item.state ~= 'blocked' then Lease.set_in_progress(item) end
  local total = add(item.project, 'discovered', #text + #impact)
  local by, how, threshold = trimming(item.project, total)
  local cursor = call('XADD', key('discoveries', item.project), by, how, threshold, '*',
    'item', id, 'agent', caller.agent, 'text', text, 'impact', impact, 'request', request,
    'total', total, unpack(ARGV, 11))
  call('RPUSH', key('found', id), cursor)
  call('LTRIM', key('found', id), -FOUND_KEPT, -1)
  emit('discover', item)
  return Lease.receipt(item, nil, cursor)
end, View.with_comments)
