-- costs: what was used, by one kind of rows: of one owner the rows of its hash, or a part of
--        the projects or the agents with their totals.
-- KEYS     meta
-- ARGV     7 owner: 'namespace', 'project:<id>' or 'agent:<name>', 8 'day', 'model', 'agent'
--          or 'project', 9 number of projects or agents to skip, or 0
-- RETURNS  {number to skip next time or '', {{name, four numbers as one text, title of a
--          project or ''} …}, what the owner has used in total, and today, as such texts}
-- ERRORS   NO_PROJECT NO_AGENT NOT_ALLOWED
local PAGE = 200
local owner, by, skip = ARGV[7], ARGV[8], tonumber(ARGV[9])

local function text_of(value)
  return Usage.text(Usage.numbers(value))
end

local function add(rows, name, value, title)
  if value then table.insert(rows, {name, text_of(value), title or ''}) end
end

-- The rows of the kind in the hash of the owner.
local function of_hash()
  local rows = {}
  for field, value in pairs(Counters.read(string.sub(Usage.of(owner), #prefix + 1))) do
    local kind, name = string.match(field, '^(%l+):?(.*)$')
    if kind == by then add(rows, name, value) end
  end
  return '', rows
end

-- The totals of some owners of a kind, in the order of their index.
local function of_owners(index, kind)
  local rows, page = {}, call('ZREVRANGE', prefix .. index, skip, skip + PAGE - 1)
  for _, name in ipairs(page) do
    local value = redis.pcall('HGET', Usage.of(kind .. ':' .. name), 'total')
    if type(value) ~= 'table' then
      add(rows, name, value, kind == 'project' and read_hash('project', name, 'HGET', 'title'))
    end
  end
  return #page == PAGE and tostring(skip + PAGE) or '', rows
end

-- What the owner has used in total, and today.
local function sums()
  local kept = redis.pcall('HMGET', Usage.of(owner), 'total', 'day:' .. Usage.today())
  if kept.err then return text_of(), text_of() end
  return text_of(kept[1] or ''), text_of(kept[2] or '')
end

return guarded(function()
  if owner == 'namespace' and confined ~= '' then owner = 'project:' .. confined end
  Usage.need_owner(owner)
  local next_skip, rows
  if owner == 'namespace' and by == 'project' then
    next_skip, rows = of_owners('projects', 'project')
  elseif owner == 'namespace' and by == 'agent' then
    next_skip, rows = of_owners('agents', 'agent')
  else
    next_skip, rows = of_hash()
  end
  return {next_skip, rows, sums()}
end)
