-- Views: what several verbs return.

local function newest_event()
  local newest = call('XREVRANGE', prefix .. 'events', '+', '-', 'COUNT', 1)[1]
  return newest and newest[1] or '0-0'
end

local function item_view(id)
  local fields = call('HGETALL', key('item', id))
  local runs = value_of(fields, 'state') == 'in_progress'
  return {id, fields, runs and call('ZSCORE', prefix .. 'leases', id) or ''}
end

-- Views of the items that are there; an id whose item has vanished is passed over.
local function item_views(ids)
  local views = {}
  for _, id in ipairs(ids) do
    local view = item_view(id)
    if #view[2] > 0 then table.insert(views, view) end
  end
  return views
end

-- How many items are an agent's, and neither held nor ready: waiting, delayed, or left to the answer to a question.
local function not_ready(agent)
  local counts, all = call('HMGET', key('agent', agent), 'n_waiting', 'n_delayed', 'n_in_progress', 'n_blocked'), 0
  for i = 1, 4 do all = all + (counts[i] or 0) end
  return all - call('ZCARD', key('held', agent))
end

-- Of the dependencies in a package.
local MOST_SHOWN = 200

local projects_read = {}

local function project_view(id)
  projects_read[id] = projects_read[id] or {id, call('HGETALL', key('project', id))}
  return projects_read[id]
end

local function package(id)
  local view = item_view(id)
  local project, depends_on = value_of(view[2], 'project'), value_of(view[2], 'depends_on')
  if not project then fail('NO_ITEM', {item = id}) end
  return {view, project_view(project), item_views({unpack(cjson.decode(depends_on or '[]'), 1, MOST_SHOWN)}),
    call('XREVRANGE', key('progress', id), '+', '-', 'COUNT', 200)}
end
