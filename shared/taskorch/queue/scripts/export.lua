-- export: one part of everything that the namespace holds. An item is read whole; what
--         is newer than the export is left out.
-- KEYS     meta
-- ARGV     7 part, then its arguments: of 'project' its id, cursor, newest sequence; of
--          'items' their project, sequence to continue after, newest sequence, '1' to leave
--          out dependencies on other projects; of 'entries' a kind of stream,
--          its owner, id to continue after, last id; of 'discoveries' their project,
--          cursor; of 'readers' their project, cursor; of 'projects' a number to
--          skip; of 'names', 'plans' and 'budgets' a cursor; of 'agents' their names; of
--          'schedule' its name; of 'usage' an owner; of 'counters' and 'schedules' none
-- RETURNS  what the function of the part returns, below
-- ERRORS   none of its own
local MAX_ITEMS, MAX_BYTES, KEYS_SCANNED, NAMES_READ = 25, 131072, 100, 500
-- Reports and notes, and dependencies, that a call reads.
local MAX_ENTRIES, MAX_LINKS = 200, 300
local entries_left, links_left = MAX_ENTRIES, MAX_LINKS

local function size(value)
  if type(value) ~= 'table' then return #tostring(value) end
  local bytes = 0
  for _, member in ipairs(value) do bytes = bytes + size(member) end
  return bytes
end

-- Returns whether an item is in its project's list, and not newer than the export.
local function is_in_export(item, newest)
  local sequence = call('ZSCORE', key('project', item.project) .. ':items', item.id)
  return sequence and tonumber(sequence) <= newest
end

-- The project of each dependency that is in the export, or ''.
local exported_in = {}

local function exported_project(id, newest)
  if not exported_in[id] then
    local item = find_item(id)
    exported_in[id] = item and is_in_export(item, newest) and item.project or ''
  end
  return exported_in[id]
end

-- Returns the dependencies that are newer than the export, do not exist, or are of
-- another project than the `only` one.
local function left_out(id, newest, only)
  local missing = {}
  for _, dependency in ipairs(parse_ids(call('HGET', key('item', id), 'depends_on'))) do
    links_left = links_left - 1
    local project = exported_project(dependency, newest)
    if project == '' or (only and project ~= only) then table.insert(missing, dependency) end
  end
  return missing
end

-- Returns the entries of a stream, as far as the reply has room for them; and the id of the
-- last one of all, or '' if these are all. Part `entries` has the rest, up to that one: what
-- is written later is not of the same time as its item.
local function entries_of(stream)
  local entries, has_more = read_entries('XRANGE', stream, '-', '+', entries_left,
    MAX_REPLY_BYTES - bytes_read)
  entries_left = entries_left - #entries
  local last = has_more and call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  return entries, last and last[1] or ''
end

local function notes(id)
  local found = {}
  for _, agent in ipairs(call('SMEMBERS', key('noted', id))) do
    local entries, last = entries_of(key('notes', agent .. ':' .. id))
    table.insert(found, {agent, entries, last})
  end
  return found
end

-- {item, sequence, score, held since, {field, value …}, {open dependency …}, {left out
-- …}, {report …}, last report or '', {{agent, {note …}, last note or ''} …}}
local function whole_item(item, sequence, newest, only)
  local index = index_of(item)
  local score = index and call('ZSCORE', index, item.id) or ''
  local held = call('ZSCORE', key('held', item.agent), item.id) or ''
  local reports, last_report = entries_of(key('progress', item.id))
  return {item.id, sequence, score, held, call('HGETALL', key('item', item.id)),
    call('SMEMBERS', key('deps', item.id)), left_out(item.id, newest, only),
    reports, last_report, notes(item.id)}
end

local parts = {}

-- {sequence, now, created, purges}
function parts.counters()
  local values = call('HMGET', meta, 'sequence', 'created_at', 'purges')
  local sequence, created_at, purges = unpack(values)
  return {sequence or '0', now, created_at or '0', purges or '0'}
end

-- {number to skip next time or '', {project …}}
function parts.projects(skip)
  local from = tonumber(skip)
  local page = call('ZRANGE', prefix .. 'projects', from, from + NAMES_READ - 1)
  return {#page == NAMES_READ and tostring(from + NAMES_READ) or '', page}
end

-- {next cursor, {agent …}}
function parts.names(cursor)
  local next_cursor, entries = unpack(call('ZSCAN', prefix .. 'agents', cursor, 'COUNT', NAMES_READ))
  local names = {}
  for i = 1, #entries, 2 do table.insert(names, entries[i]) end
  return {next_cursor, names}
end

-- {next cursor, {plan key, project …}}
function parts.plans(cursor)
  return call('HSCAN', prefix .. 'plans', cursor, 'COUNT', NAMES_READ)
end

-- {next cursor, {field, value …}, {key, item …}, {field, value …} of what it has used}
function parts.project(id, cursor, newest)
  local keys = key('project', id) .. ':keys'
  local next_cursor, entries = unpack(call('HSCAN', keys, cursor, 'COUNT', KEYS_SCANNED))
  local kept = {}
  for i = 1, #entries, 2 do
    local name, item = entries[i], entries[i + 1]
    if exported_project(item, tonumber(newest)) == id then
      table.insert(kept, name)
      table.insert(kept, item)
    end
  end
  return {next_cursor, call('HGETALL', key('project', id)), kept, parts.usage('project:' .. id)}
end

-- {sequence to continue after or '', {item …}, {damaged item, its field …}}
function parts.items(project, after, newest, alone)
  local found, damaged_items, bytes = {}, {}, 0
  local page = call('ZRANGE', key('project', project) .. ':items', '(' .. after, newest, 'BYSCORE',
    'LIMIT', 0, MAX_ITEMS, 'WITHSCORES')
  for i = 1, #page, 2 do
    local id, sequence = page[i], page[i + 1]
    local item, damaged = find_item(id)
    if damaged then
      table.insert(damaged_items, id)
      table.insert(damaged_items, damaged)
    elseif item and item.project == project then
      local row = whole_item(item, sequence, tonumber(newest), alone == '1' and project)
      table.insert(found, row)
      bytes = bytes + size(row)
    end
    if bytes > MAX_BYTES or entries_left == 0 or links_left <= 0 then
      return {sequence, found, damaged_items}
    end
  end
  local is_full_page = #page == 2 * MAX_ITEMS
  return {is_full_page and page[#page] or '', found, damaged_items}
end

-- {{stream entry …}, '1' if there are more, else ''} after an id, up to another one.
function parts.entries(kind, owner, after, last)
  local entries, has_more = read_entries('XRANGE', key(kind, owner), '(' .. after, last, MAX_ENTRIES,
    MAX_REPLY_BYTES)
  return {entries, has_more and '1' or ''}
end

-- The same of discoveries, with the ids of the requests that wrote them: after an import, a
-- repeat of such a request is known by its id.
function parts.discoveries(project, cursor)
  return parts.entries('discoveries', project, cursor, '+')
end

-- {next cursor, {reader, cursor of its last discovery …}}
function parts.readers(project, cursor)
  return read_hash('readers', project, 'HSCAN', cursor, 'COUNT', KEYS_SCANNED) or {'0', {}}
end

-- {next cursor, {'<owner>:<period>', 'microdollars tokens' …}}
function parts.budgets(cursor)
  return call('HSCAN', prefix .. 'budgets', cursor, 'COUNT', NAMES_READ)
end

-- {field, value …} of the sums of an owner.
function parts.usage(owner)
  local fields = {}
  for field, value in pairs(Counters.read(string.sub(Usage.of(owner), #prefix + 1))) do
    local is_known = field == 'total' or string.find(field, '^%l+:[!-~]+$')
    if is_known then
      table.insert(fields, field)
      table.insert(fields, Usage.text(Usage.numbers(value)))
    end
  end
  return fields
end

-- {{name, last seen ms, {field, value …}, {field, value …} of what it has used} …}
function parts.agents(...)
  local found = {}
  for _, name in ipairs({...}) do
    local last_seen = call('ZSCORE', prefix .. 'agents', name) or '0'
    table.insert(found, {name, last_seen, call('HGETALL', key('agent', name)),
      parts.usage('agent:' .. name)})
  end
  return found
end

-- {schedule …}
function parts.schedules() return call('ZRANGE', prefix .. 'schedules', 0, -1) end

-- {ms when a service acts on it or '', {field, value …}}
function parts.schedule(name)
  local due_at = call('ZSCORE', prefix .. 'schedules', name) or ''
  return {due_at, read_hash('schedule', name, 'HGETALL') or {}}
end

return guarded(function() return parts[ARGV[7]](unpack(ARGV, 8)) end)
