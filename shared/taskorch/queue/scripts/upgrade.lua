-- upgrade: brings a part of a namespace of schema 1 to schema 2. Every other script refuses
--          the namespace from the first part to the last; any number of callers may help.
-- KEYS     meta
-- ARGV     7 maximum number of items
-- RETURNS  {'1' if parts are left, else ''}
-- ERRORS   none of its own
local limit = tonumber(ARGV[7])
local UPGRADING = '2 (upgrading)'
local MAX_BYTES = 131072
-- In place of a sequence number: all items of the project are done.
local DONE = 'done'

-- The usual values of fields that schema 1 wrote and schema 2 leaves out.
local USUAL = {
  attempts = '0', not_before = '0', holder_host = '', holder_pid = '', holder_session = '',
  claim_lease_ms = LEASE_MS, assigned_at = '', assigned_by = '', summary = '', deliverables = '{}',
  labels = '[]',
}
local NAMES = {
  'state', 'agent', 'attempts', 'not_before', 'holder_host', 'holder_pid', 'holder_session',
  'holder_since', 'started_at', 'claim_lease_ms', 'created_at', 'created_by', 'assigned_at',
  'assigned_by', 'summary', 'deliverables', 'labels',
}

-- Returns the fields of an item that a part may change, or that decide about it; nil if
-- the key holds another type.
local function read_fields(id)
  local values, fields = read_hash('item', id, 'HMGET', unpack(NAMES)), {}
  if not values then return nil end
  for i, name in ipairs(NAMES) do fields[name] = values[i] or nil end
  return fields
end

local function usual_fields(fields)
  local names = {}
  for name, usual in pairs(USUAL) do
    if fields[name] == usual then table.insert(names, name) end
  end
  if fields.holder_since and fields.holder_since == fields.started_at then
    table.insert(names, 'holder_since')
  end
  if (fields.agent or '') ~= '' then
    if fields.assigned_at and fields.assigned_at == fields.created_at then
      table.insert(names, 'assigned_at')
    end
    if fields.assigned_by and fields.assigned_by == fields.created_by then
      table.insert(names, 'assigned_by')
    end
  end
  return names
end

-- Removes the stream of an item whose only report is that of its completion, if its own
-- fields say the same. Returns the bytes that it has read.
local function fold_completion(id)
  local stream = key('progress', id)
  local found = redis.pcall('XRANGE', stream, '-', '+', 'COUNT', 2)
  if found.err then return 0 end
  local bytes = 0
  for _, entry in ipairs(found) do bytes = bytes + bytes_of(entry) end
  if #found ~= 1 then return bytes end
  local entry, expected = found[1], Reports.completion(id)
  local request = value_of(entry[2], 'request') or ''
  local is_same = entry[1] == expected[1] and #entry[2] == #expected[2]
  for i = 1, #expected[2], 2 do
    local name, value = expected[2][i], expected[2][i + 1]
    is_same = is_same and (name == 'request' or value_of(entry[2], name) == value)
  end
  if not is_same then return bytes end
  call('DEL', stream)
  call('HSET', key('item', id), 'completion', request)
  return bytes
end

-- Returns the bytes that it has read of the reports.
local function upgrade_item(id)
  local item = is_id('item', id) and read_fields(id)
  if not item then return 0 end
  local bytes = item.state == 'completed' and fold_completion(id) or 0
  local names = usual_fields(item)
  if #names > 0 then call('HDEL', key('item', id), unpack(names)) end
  return bytes
end

-- Returns items of a project after a sequence number; none if the key holds another type.
local function items_after(project, after, most)
  local page = redis.pcall('ZRANGE', key('project', project) .. ':items', '(' .. after, '+inf',
    'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
  return page.err and {} or page
end

-- Upgrades some items from a project and the sequence number of its last item that is
-- done. Returns where the next part begins, or nil at the end.
local function upgrade_from(project, after)
  local position = project and call('ZRANK', prefix .. 'projects', project)
  if not position then
    position, after = 0, '-inf'
  elseif after == DONE then
    position, after = position + 1, '-inf'
  end
  local left, bytes = limit, 0
  while true do
    project = call('ZRANGE', prefix .. 'projects', position, position)[1]
    if not project then return nil end
    local page = items_after(project, after, left)
    for i = 1, #page, 2 do
      bytes, left, after = bytes + upgrade_item(page[i]), left - 1, page[i + 1]
      if left == 0 or bytes > MAX_BYTES then return project .. ' ' .. after end
    end
    -- A project counts like an item: there may be many without items.
    left = left - 1
    if left == 0 then return project .. ' ' .. DONE end
    position, after = position + 1, '-inf'
  end
end

local function upgrade_part()
  local schema, begun = unpack(call('HMGET', meta, 'schema', 'upgrade'))
  if schema == SCHEMA then return end
  local rest = upgrade_from(string.match(begun or '', '^(.*) (%S+)$'))
  if rest then
    call('HSET', meta, 'schema', UPGRADING, 'upgrade', rest)
  else
    call('HSET', meta, 'schema', SCHEMA)
    call('HDEL', meta, 'upgrade')
  end
end

-- Nothing is kept for a repeat: it does another part.
return once(upgrade_part, function()
  return {call('HGET', meta, 'schema') == SCHEMA and '' or '1'}
end, OLDER, true)
