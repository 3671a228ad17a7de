-- export: a part of all that the namespace holds. An item is read whole; what is newer than the export is left out.
-- KEYS     meta
-- ARGV     7 part, then its arguments: of 'project' its id, cursor, newest sequence; of 'items' their project, sequence
--          to go on after, newest sequence; of 'discoveries' their project, cursor, how many at most; of 'agents' their
--          names; of 'all' none
-- RETURNS  all: {sequence, now, created, purges, {project …}, {agent …}, {plan key, project …}}; the others: as they are
--          built below
-- ERRORS   none of its own
local MOST_ITEMS, MOST_BYTES, MOST_KEYS = 50, 131072, 100

local function weight(value)
  if type(value) ~= 'table' then return #tostring(value) end
  local bytes = 0
  for _, member in ipairs(value) do bytes = bytes + weight(member) end
  return bytes
end

local function is_in(id, project, newest)
  local sequence = call('ZSCORE', key('project', project) .. ':items', id)
  local item = sequence and tonumber(sequence) <= newest and find(id)
  return item and item.project == project
end

-- The dependencies that are newer than the export, or have vanished.
local function left_out(id, newest)
  local missing = {}
  for _, dependency in ipairs(ids_of(call('HGET', key('item', id), 'depends_on'))) do
    local item = find(dependency)
    if not item or not is_in(dependency, item.project, newest) then table.insert(missing, dependency) end
  end
  return missing
end

local function notes(id)
  local found = {}
  for _, agent in ipairs(call('SMEMBERS', key('noted', id))) do
    table.insert(found, agent)
    table.insert(found, call('XRANGE', key('notes', agent .. ':' .. id), '-', '+'))
  end
  return found
end

-- {item, sequence, score, held since, {field, value …}, {open dependency …}, {left out …}, {report …}, {agent, {note …} …}}
local function whole(item, sequence, newest)
  local from = index(item)
  return {item.id, sequence, from and call('ZSCORE', from, item.id) or '', call('ZSCORE', key('held', item.agent), item.id) or '',
    call('HGETALL', key('item', item.id)), call('SMEMBERS', key('deps', item.id)), left_out(item.id, newest),
    call('XRANGE', key('progress', item.id), '-', '+'), notes(item.id)}
end

local parts = {}

function parts.all()
  local sequence, created, purges = unpack(call('HMGET', KEYS[1], 'sequence', 'created_at', 'purges'))
  return {sequence or '0', now, created or '0', purges or '0', call('ZRANGE', prefix .. 'projects', 0, -1),
    call('ZRANGE', prefix .. 'agents', 0, -1), call('HGETALL', prefix .. 'plans')}
end

-- {next cursor, {field, value …}, {key, item …}}
function parts.project(id, cursor, newest)
  local kept = {}
  local page = call('HSCAN', key('project', id) .. ':keys', cursor, 'COUNT', MOST_KEYS)
  for i = 1, #page[2], 2 do
    if is_in(page[2][i + 1], id, tonumber(newest)) then
      table.insert(kept, page[2][i])
      table.insert(kept, page[2][i + 1])
    end
  end
  return {page[1], call('HGETALL', key('project', id)), kept}
end

-- {sequence to go on after or '', {item …}, {damaged item, its field …}}
function parts.items(project, after, newest)
  local found, damaged, bytes = {}, {}, 0
  local page = call('ZRANGE', key('project', project) .. ':items', '(' .. after, newest, 'BYSCORE',
    'LIMIT', 0, MOST_ITEMS, 'WITHSCORES')
  for i = 1, #page, 2 do
    local item, wrong = find(page[i])
    if wrong then
      table.insert(damaged, page[i])
      table.insert(damaged, wrong)
    elseif item and item.project == project then
      table.insert(found, whole(item, page[i + 1], tonumber(newest)))
      bytes = bytes + weight(found[#found])
    end
    if bytes > MOST_BYTES then return {page[i + 1], found, damaged} end
  end
  return {#page == 2 * MOST_ITEMS and page[#page] or '', found, damaged}
end

-- {stream entry …}: with the requests that wrote them, by which a repeat is known after the import, too
function parts.discoveries(project, cursor, count)
  return call('XRANGE', key('discoveries', project), '(' .. cursor, '+', 'COUNT', count)
end

-- {{name, last seen ms, {field, value …}} …}
function parts.agents(...)
  local found = {}
  for _, name in ipairs({...}) do
    table.insert(found, {name, call('ZSCORE', prefix .. 'agents', name) or '0', call('HGETALL', key('agent', name))})
  end
  return found
end

return guarded(function() return parts[ARGV[7]](unpack(ARGV, 8)) end)
