-- Views: what several scripts return.

local MAX_DEPENDENCIES_SHOWN = 50
-- Bytes of items, projects and reports after which a reply has no more of them: Redis is
-- busy for some milliseconds. A page is then shorter, and the client reads the next one.
local MAX_REPLY_BYTES = 1048576

local View = {}

-- Returns whether a list may go on after its first row.
function View.has_room() return bytes_read < MAX_REPLY_BYTES end

-- Returns since when (ms) the oldest item of a queue is queued, or '' if it is empty. Within
-- a priority the first ones are the oldest, unless they were delayed or waited.
function View.queued_since(queue)
  -- Items of each priority that are looked at.
  local FIRST, PRIORITIES = 2, 5
  local oldest
  for priority = 0, PRIORITIES - 1 do
    local ids = call('ZRANGE', queue, priority * 1e13, string.format('(%d', (priority + 1) * 1e13),
      'BYSCORE', 'LIMIT', 0, FIRST)
    for _, id in ipairs(ids) do
      local since = changed_at(id)
      if not oldest or since < oldest then oldest = since end
    end
  end
  return oldest and string.format('%d', oldest) or ''
end

function View.newest_event()
  local newest = call('XREVRANGE', prefix .. 'events', '+', '-', 'COUNT', 1)[1]
  return newest and newest[1] or '0-0'
end

-- Hides the claim of a live token, which only its holder may see; `live_token` is 1 if
-- there is one. The call that completed the item may have claimed the next one. `expires` is
-- when its lease ends, if the call has just claimed it.
function View.item(id, expires)
  local fields = read_hash('item', id, 'HGETALL') or {}
  for i = 1, #fields, 2 do
    if fields[i] == 'claim' or fields[i] == 'completion' then fields[i + 1] = '' end
    if fields[i] == 'live_token' then fields[i + 1] = '1' end
  end
  bytes_read = bytes_read + bytes_of({id, fields})
  if not expires then
    local has_lease = value_of(fields, 'state') == 'in_progress'
    expires = has_lease and call('ZSCORE', prefix .. 'leases', id) or ''
  end
  return {id, fields, expires}
end

-- Returns the views of the items that exist, as far as a reply has room for them; and the
-- number of items that were looked at. `room` is another number of bytes.
function View.items(ids, room)
  local views, most = {}, bytes_read + (room or MAX_REPLY_BYTES)
  for i, id in ipairs(ids) do
    if bytes_read >= most then return views, i - 1 end
    local view = View.item(id)
    local is_shown = #view[2] > 0 and not scope.is_foreign(value_of(view[2], 'project'))
    if is_shown then table.insert(views, view) end
  end
  return views, #ids
end

-- Returns the first ids of the caller's queue, and then of its pools, as far as it sees
-- their project.
function scope.queued_ids(limit)
  local ids, most = {}, confined == '' and limit or MAX_SKIPPED
  for _, owner in ipairs(Owner.of_caller()) do
    for _, id in ipairs(most > 0 and call('ZRANGE', key('queue', owner), 0, most - 1) or {}) do
      local is_foreign = confined ~= ''
        and scope.is_foreign(read_hash('item', id, 'HGET', 'project'))
      if not is_foreign and #ids < limit then table.insert(ids, id) end
      most = most - 1
    end
  end
  return ids
end

-- Returns the number of items in the caller's queue and in its pools, and of each pool its
-- name and the number of items that are ready in it.
function View.count_queued()
  local queued, in_pools = call('ZCARD', key('queue', caller.agent)), {}
  for _, pool in ipairs(caller.pools) do
    local ready = call('ZCARD', key('queue', Owner.of_pool(pool)))
    queued = queued + ready
    table.insert(in_pools, pool)
    table.insert(in_pools, ready)
  end
  return queued, in_pools
end

-- Returns the number of an agent's items that are neither held nor ready: waiting,
-- delayed, or blocked and left until the answer.
function View.count_not_ready(agent)
  local counts = call('HMGET', key('agent', agent), 'n_waiting', 'n_delayed', 'n_in_progress',
    'n_blocked')
  local all = 0
  for i = 1, 4 do all = all + (tonumber(counts[i] or 0) or 0) end
  return all - call('ZCARD', key('held', agent))
end

-- Returns entries of an item's reports by their ids; those that are gone are left out.
function View.reports(item, ids)
  local entries = {}
  for _, id in ipairs(ids) do
    local entry = call('XRANGE', key('progress', item), id, id)[1]
    if entry then table.insert(entries, entry) end
  end
  return without_request(entries)
end

-- Returns the reports of an item, by XRANGE or XREVRANGE; `...` is the whole range.
function View.read_reports(item, command, ...)
  local entries = call(command, key('progress', item), ...)
  if #entries > 0 then return entries end
  return without_request({Reports.completion(item)})
end

-- Reports that say nothing about the work, and those among which another is looked for.
local NOT_OF_WORK = {assign = true, comment = true, edit = true, usage = true}
local WORK_LOOKED_FOR = 20

-- Reports with which the last attempt of a dead letter may have ended.
local ENDS_OF_DEAD = {fail = true, expire = true}

local function is_about_work(kind) return not NOT_OF_WORK[kind] end

local function is_end_of_dead(kind) return ENDS_OF_DEAD[kind] end

-- Returns the newest report on an item if it is wanted; else the first one that is among those
-- before it, or if there is a time in ms, among those that were written since then; or nil.
local function find_report(item, is_wanted, since)
  local newest = View.read_reports(item, 'XREVRANGE', '+', '-', 'COUNT', 1)[1]
  if not newest then return nil end
  bytes_read = bytes_read + bytes_of(newest)
  if is_wanted(value_of(newest[2], 'kind')) then return newest end
  local command, from, to = 'XREVRANGE', '(' .. newest[1], '-'
  if since then command, from, to = 'XRANGE', string.format('%d', since), '+' end
  local others = read_entries(command, key('progress', item), from, to, WORK_LOOKED_FOR,
    REPORT_BYTES_LOOKED_AT)
  for _, entry in ipairs(others) do
    if is_wanted(value_of(entry[2], 'kind')) then return entry end
  end
end

-- Returns the newest report on an item that is about the work, or nil. A key that holds another
-- type has none, here and below.
function View.newest_about_work(item)
  local found
  survives(function() found = find_report(item, is_about_work) end)
  return found
end

-- Returns the report with which the last attempt of a dead letter has ended, at the time of its
-- death or right after it, or nil. Any number of others may follow.
function View.end_of_dead(item, died_at)
  local found
  survives(function() found = find_report(item, is_end_of_dead, died_at) end)
  return found
end

-- Returns a receipt with the texts of its comments in place of their ids. One that an
-- older version kept for a repeat has only the first six words.
function View.with_comments(receipt)
  receipt[7], receipt[8] = receipt[7] or '', receipt[8] or ''
  receipt[9] = View.reports(receipt[1], receipt[9] or {})
  receipt[10], receipt[11] = receipt[10] or 0, receipt[11] or {'', '', ''}
  return receipt
end

-- Returns the ids in a JSON list; none if it is damaged.
local function parse_ids(list)
  local ok, values = pcall(cjson.decode, list or '[]')
  local ids = {}
  if not ok or type(values) ~= 'table' then return ids end
  for _, id in ipairs(values) do
    if type(id) == 'string' and is_id('item', id) then table.insert(ids, id) end
  end
  return ids
end

-- Returns the dependencies of an item that are returned with it, from its fields; and the
-- number of the others.
function View.shown_dependencies(fields)
  local all = parse_ids(value_of(fields, 'depends_on'))
  local shown = {unpack(all, 1, MAX_DEPENDENCIES_SHOWN)}
  return shown, #all - #shown
end

function View.project(id)
  if not project_views[id] then
    project_views[id] = {id, read_hash('project', id, 'HGETALL') or {}}
    bytes_read = bytes_read + bytes_of(project_views[id])
  end
  return project_views[id]
end

-- Discoveries ---------------------------------------------------------------------------
-- A discovery is here {project, stream entry}. Entry ids are unique within a project
-- only, so the order is that of the ids, and of the projects where ids are equal.

-- Returns entries of a project's discoveries; none if the key holds another type.
local function read_discoveries(project, command, from, to, count)
  return read_hash('discoveries', project, command, from, to, 'COUNT', count) or {}
end

-- Adds the place of a discovery in the order to it, once: `ms`, `number`, `project`.
local function placed(discovery)
  if discovery.ms then return discovery end
  local ms, number = string.match(discovery[2][1], '^(%d+)-(%d+)$')
  discovery.ms, discovery.number, discovery.project = tonumber(ms), tonumber(number), discovery[1]
  return discovery
end

-- Returns whether one of two placed discoveries comes before the other.
local function is_before(one, other)
  if one.ms ~= other.ms then return one.ms < other.ms end
  if one.number ~= other.number then return one.number < other.number end
  return one.project < other.project
end
