-- new_discoveries: the discoveries that the caller has not read yet, in the order of
--                  `discoveries`. They count as read from now on.
-- KEYS     meta
-- ARGV     7 role of the reader: 'worker' or 'orchestrator', 8 what to read, as in
--          `discoveries`, 9 maximum number
-- RETURNS  as `discoveries`, then the id and the project of the last discovery that the
--          caller has read, or ''
-- ERRORS   NO_PROJECT NO_ITEM NOT_YOURS
local role, target, limit = ARGV[7], ARGV[8], tonumber(ARGV[9])
local reader = reader_of(role)
-- What the first call has found.
local found

-- The last discovery that it has read before, if there is one.
local last_read

-- Returns from where the reader has not read the discoveries of a project.
local function from_of(project)
  local id = newest_read_by(reader, project)
  if not id then return '-' end
  local discovery = placed({project, {id}})
  if not last_read or is_before(last_read, discovery) then last_read = discovery end
  return '(' .. id
end

local function mark_read(project, id)
  local holds_other_type = read_hash('readers', project, 'HGET', reader) == nil
  if holds_other_type then call('DEL', key('readers', project)) end
  call('HSET', key('readers', project), reader, id)
end

-- Returns {what to read again: {project, from, to} …, and the rest of the reply}.
local function read_new()
  local projects, total = projects_to_read(target)
  local has_more, looked_at
  found, has_more, looked_at = read_in_order(projects, from_of, limit)

  local spans, span_of = {}, {}
  for _, discovery in ipairs(found) do
    local project, id = discovery[1], discovery[2][1]
    if not span_of[project] then
      span_of[project] = {project, id, id}
      table.insert(spans, span_of[project])
    end
    span_of[project][3] = id
  end
  for _, span in ipairs(spans) do mark_read(span[1], span[3]) end
  local last = found[#found] or last_read or {'', {''}}
  return {spans, has_more and '1' or '', looked_at, total, target == 'own' and projects or {},
    last[2][1], last[1]}
end

-- A repeat finds the same discoveries, even if others were made in the meantime.
local function find_again(spans)
  local again = {}
  for _, span in ipairs(spans) do
    for _, entry in ipairs(read_discoveries(span[1], 'XRANGE', span[2], span[3], limit)) do
      table.insert(again, placed({span[1], entry}))
    end
  end
  table.sort(again, is_before)
  return again
end

return once(read_new, function(reply)
  local shown = found or find_again(reply[1])
  local has_more, looked_at, total, projects, id, project = unpack(reply, 2)
  for _, discovery in ipairs(shown) do without_request({discovery[2]}) end
  return {shown, has_more, looked_at, total, projects, id, project}
end)
