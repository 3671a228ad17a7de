-- restore: writes the lines of an export into an empty namespace. No other script runs
--          there until the last step.
-- KEYS     meta
-- ARGV     7 step: 'begin', 'lines', 'end' or 'wake', 8 checksum that identifies the
--          export, 9 run that `begin` returned, or '', then: lines of the export for
--          'lines'; sequence, created ms and schema of the export for 'end'; cursor of
--          `end` for 'wake'
-- RETURNS  {run}; of 'end' and 'wake' {run, cursor for the next 'wake', or '0'}
-- ERRORS   NOT_EMPTY
local FOUND_KEPT, AGENTS_SCANNED = 1000, 200
local IMPORTING = 'importing'
local step, export, run = ARGV[7], ARGV[8], ARGV[9]

local function flat(fields)
  local words = {}
  for field, value in pairs(fields) do
    table.insert(words, field)
    table.insert(words, value)
  end
  return words
end

local function write_hash(name, fields)
  local words = flat(fields)
  if #words > 0 then call('HSET', name, unpack(words)) end
end

local function write_entry(stream, line)
  call('XADD', stream, line.entry, unpack(flat(line.fields)))
end

local write = {}

function write.project(line)
  call('DEL', key('discoveries', line.id), key('readers', line.id), key('questions', line.id),
    Usage.of('project:' .. line.id))
  call('ZADD', prefix .. 'projects', line.fields.created_at, line.id)
  call('ZREM', prefix .. 'purged', line.id)
  if line.fields.status == 'closing' then
    line.fields.closing_before = 'inf'
    call('ZADD', prefix .. 'unfinished', now, 'close:' .. line.id)
  end
  write_hash(key('project', line.id), line.fields)
end

function write.key(line)
  call('HSET', key('project', line.project) .. ':keys', line.key, line.item)
end

-- An earlier run may have stopped after this item, so what follows its line is removed
-- first.
function write.item(line)
  local id = line.id
  for _, agent in ipairs(call('SMEMBERS', key('noted', id))) do
    call('DEL', key('notes', agent .. ':' .. id))
  end
  call('DEL', key('item', id), key('progress', id), key('found', id), key('noted', id))
  write_hash(key('item', id), line.fields)
  call('ZADD', key('project', line.fields.project) .. ':items', line.sequence, id)
  local item = find_item(id)
  local index = index_of(item)
  if index then call('ZADD', index, line.score, id) end
  if item.pool ~= '' then add_pool(item.pool) end
  if line.held then call('ZADD', key('held', item.agent), line.held, id) end
  local questions = Question.read(item)
  if #questions > 0 then Question.list(item, questions) end
  local is_open = {}
  for _, dependency in ipairs(line.open) do is_open[dependency] = true end
  call_in_chunks('SADD', key('deps', id), line.open)
  for _, dependency in ipairs(cjson.decode(line.fields.depends_on or '[]')) do
    call('SADD', key(is_open[dependency] and 'dependents' or 'satisfied', dependency), id)
  end
end

function write.report(line) write_entry(key('progress', line.item), line) end

function write.note(line)
  call('SADD', key('noted', line.item), line.agent)
  write_entry(key('notes', line.agent .. ':' .. line.item), line)
end

function write.discovery(line)
  write_entry(key('discoveries', line.project), line)
  local item = line.fields.item
  if call('EXISTS', key('item', item)) == 1 then
    call('RPUSH', key('found', item), line.entry)
    call('LTRIM', key('found', item), -FOUND_KEPT, -1)
  end
end

function write.reader(line)
  call('HSET', key('readers', line.project), line.reader, line.cursor)
end

-- The agent may have called here later than it had called there.
function write.agent(line)
  call('ZADD', prefix .. 'agents', 'GT', line.seen, line.name)
  write_hash(key('agent', line.name), line.fields)
  for pool in string.gmatch(line.fields.pools or '', '[^,]+') do
    add_pool(pool)
    call('ZADD', key('members', pool), now, line.name)
  end
end

function write.usage(line) write_hash(Usage.of(line.owner), line.fields) end

function write.budget(line)
  local limits = line.limit_micros .. ' ' .. line.limit_tokens
  call('HSET', prefix .. 'budgets', line.owner .. ':' .. line.period, limits)
  Budget.note(line.owner)
end

-- The counts of a project, an agent or a pool.
function write.counts(line) write_hash(key(line.of, line.id), line.fields) end

function write.plan(line) call('HSET', prefix .. 'plans', line.key, line.project) end

function write.schedule(line)
  call('DEL', key('schedule', line.name))
  call('ZADD', prefix .. 'schedules', line.due_at, line.name)
  write_hash(key('schedule', line.name), line.fields)
end

local function wake_if_filled(owner)
  local delayed = tonumber(call('HGET', Owner.counts(owner), 'n_delayed') or 0)
  if delayed > 0 or call('ZCARD', key('queue', owner)) > 0 then wake(owner) end
end

-- Wakes some of the agents that wait for work, and with the last of them the pools; then
-- this run is over.
local function wake_agents(from)
  local cursor, agents = unpack(call('ZSCAN', prefix .. 'agents', from, 'COUNT', AGENTS_SCANNED))
  for i = 1, #agents, 2 do wake_if_filled(agents[i]) end
  if cursor == '0' then
    for _, pool in ipairs(call('ZREVRANGE', prefix .. 'pools', 0, AGENTS_SCANNED - 1)) do
      wake_if_filled(Owner.of_pool(pool))
    end
    call('HDEL', meta, 'import', 'import_run')
  end
  return {run, cursor}
end

local function refuse_import(schema)
  if schema == IMPORTING then refuse('SCHEMA', {found = schema, supported = SCHEMA}) end
  refuse('NOT_EMPTY', {projects = call('ZCARD', prefix .. 'projects')})
end

local steps = {}

-- An import of the same export may begin again.
function steps.begin(schema, import)
  local is_importing = schema == IMPORTING
  local is_same_import = is_importing and import == export
  if is_importing and not is_same_import then refuse_import(schema) end
  if not is_importing and call('ZCARD', prefix .. 'projects') > 0 then refuse_import(schema) end
  call('HSET', meta, 'schema', IMPORTING, 'import', export, 'import_run', request)
  return {request}
end

function steps.lines()
  for i = 10, #ARGV do
    local line = cjson.decode(ARGV[i])
    write[line.kind](line)
  end
  return {run}
end

steps['end'] = function()
  call('HSET', meta, 'schema', ARGV[12], 'sequence', ARGV[10], 'created_at', ARGV[11])
  emit('restore', {project = '', state = ''})
  return wake_agents('0')
end

function steps.wake() return wake_agents(ARGV[10]) end

return once(function()
  local schema, import, newest_run = unpack(call('HMGET', meta, 'schema', 'import', 'import_run'))
  -- The import has ended, or a later run has replaced this one.
  local is_open = schema ~= IMPORTING
  local is_over = newest_run ~= run or is_open ~= (step == 'wake')
  if step ~= 'begin' and is_over then refuse_import(schema) end
  return steps[step](schema, import)
end, nil, {[IMPORTING] = true})
