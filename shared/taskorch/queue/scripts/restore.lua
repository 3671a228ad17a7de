-- restore: writes the lines of an export into an empty namespace. No other script runs there until the last step.
-- KEYS     meta
-- ARGV     7 step: 'begin', 'lines' or 'end', 8 what tells the export from others, 9 the run that `begin` gave, or '',
--          then: lines of the export for 'lines'; sequence and created ms for 'end'
-- RETURNS  {run}
-- ERRORS   NOT_EMPTY
local FOUND_KEPT = 1000
local IMPORTING = 'importing'
local step, export, run_shown = ARGV[7], ARGV[8], ARGV[9]

local function flat(fields)
  local words = {}
  for field, value in pairs(fields) do
    table.insert(words, field)
    table.insert(words, value)
  end
  return words
end

local function hash(name, fields)
  local words = flat(fields)
  if #words > 0 then call('HSET', name, unpack(words)) end
end

local function entry(stream, line) call('XADD', stream, line.entry, unpack(flat(line.fields))) end

local write = {}

function write.project(line)
  call('DEL', key('discoveries', line.id))
  call('ZADD', prefix .. 'projects', line.fields.created_at, line.id)
  hash(key('project', line.id), line.fields)
end

function write.key(line) call('HSET', key('project', line.project) .. ':keys', line.key, line.item) end

-- An earlier run may have been cut off after this item: what follows its line comes anew.
function write.item(line)
  for _, agent in ipairs(call('SMEMBERS', key('noted', line.id))) do call('DEL', key('notes', agent .. ':' .. line.id)) end
  call('DEL', key('item', line.id), key('progress', line.id), key('found', line.id), key('noted', line.id))
  hash(key('item', line.id), line.fields)
  call('ZADD', key('project', line.fields.project) .. ':items', line.sequence, line.id)
  local item = find(line.id)
  local to = index(item)
  if to then call('ZADD', to, line.score, line.id) end
  if line.held then call('ZADD', key('held', item.agent), line.held, line.id) end
  local open = {}
  for _, dependency in ipairs(line.open) do open[dependency] = true end
  call_with('SADD', key('deps', line.id), line.open)
  for _, dependency in ipairs(cjson.decode(line.fields.depends_on or '[]')) do
    call('SADD', key(open[dependency] and 'dependents' or 'satisfied', dependency), line.id)
  end
end

function write.report(line) entry(key('progress', line.item), line) end

function write.note(line)
  call('SADD', key('noted', line.item), line.agent)
  entry(key('notes', line.agent .. ':' .. line.item), line)
end

function write.discovery(line)
  entry(key('discoveries', line.project), line)
  local item = line.fields.item
  if call('EXISTS', key('item', item)) == 1 then
    call('RPUSH', key('found', item), line.entry)
    call('LTRIM', key('found', item), -FOUND_KEPT, -1)
  end
end

-- It may have called here later than there.
function write.agent(line)
  call('ZADD', prefix .. 'agents', 'GT', line.seen, line.name)
  hash(key('agent', line.name), line.fields)
end

-- How many items of a project, or of an agent, are in each state.
function write.counts(line) hash(key(line.of, line.id), line.fields) end

function write.plan(line) call('HSET', prefix .. 'plans', line.key, line.project) end

-- Who waits for work looks at once.
local function wake_all()
  for _, agent in ipairs(call('ZRANGE', prefix .. 'agents', 0, -1)) do
    local delayed = tonumber(call('HGET', key('agent', agent), 'n_delayed') or 0)
    if delayed > 0 or call('ZCARD', key('queue', agent)) > 0 then wake(agent) end
  end
end

local function refuse(found)
  if found == IMPORTING then fail('SCHEMA', {found = found, supported = SCHEMA}) end
  fail('NOT_EMPTY', {projects = call('ZCARD', prefix .. 'projects')})
end

local steps = {}

function steps.begin(found, under_way)
  local again = found == IMPORTING and under_way == export
  if not again and (found == IMPORTING or call('ZCARD', prefix .. 'projects') > 0) then refuse(found) end
  call('HSET', KEYS[1], 'schema', IMPORTING, 'import', export, 'import_run', ARGV[1])
  return {ARGV[1]}
end

function steps.lines()
  for i = 10, #ARGV do
    local line = cjson.decode(ARGV[i])
    write[line.kind](line)
  end
  return {run_shown}
end

steps['end'] = function()
  call('HSET', KEYS[1], 'schema', SCHEMA, 'sequence', ARGV[10], 'created_at', ARGV[11])
  call('HDEL', KEYS[1], 'import', 'import_run')
  wake_all()
  emit('restore', {project = '', state = ''})
  return {run_shown}
end

return once(function()
  local found, under_way, newest_run = unpack(call('HMGET', KEYS[1], 'schema', 'import', 'import_run'))
  if step ~= 'begin' and newest_run ~= run_shown then refuse(found) end -- another run has taken over, or has ended
  return steps[step](found, under_way)
end, nil, IMPORTING)
