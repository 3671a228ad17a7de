-- Views: what several verbs return.

local function newest_event()
  local newest = call('XREVRANGE', prefix .. 'events', '+', '-', 'COUNT', 1)[1]
  return newest and newest[1] or '0-0'
end

-- Nobody but its holder may see the claim of a live token: a view only tells whether there is one.
local function item_view(id)
  local fields = hash('item', id, 'HGETALL') or {}
  for i = 1, #fields, 2 do
    if fields[i] == 'claim' then fields[i + 1] = '' end
    if fields[i] == 'live_token' then fields[i + 1] = '1' end
  end
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
  for i = 1, 4 do all = all + (tonumber(counts[i] or 0) or 0) end
  return all - call('ZCARD', key('held', agent))
end

-- Entries of a stream without the requests that wrote them, or without one of these: it may be the claim of a live token.
local function without_request(entries, request)
  for _, entry in ipairs(entries) do
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'request' and (not request or entry[2][i + 1] == request) then entry[2][i + 1] = '' end
    end
  end
  return entries
end

-- The ids in a JSON list of them; none where it is damaged.
local function ids_of(list)
  local ok, ids = pcall(cjson.decode, list or '[]')
  local found = {}
  for _, id in ipairs(ok and type(ids) == 'table' and ids or {}) do
    if type(id) == 'string' and is_id('item', id) then table.insert(found, id) end
  end
  return found
end

-- Of the dependencies in a package.
local MOST_SHOWN = 200

local projects_read = {}

local function project_view(id)
  projects_read[id] = projects_read[id] or {id, hash('project', id, 'HGETALL') or {}}
  return projects_read[id]
end

local function package(id)
  local view = item_view(id)
  local project, depends_on = value_of(view[2], 'project'), value_of(view[2], 'depends_on')
  if not project then no_item(id) end
  return {view, project_view(project), item_views({unpack(ids_of(depends_on), 1, MOST_SHOWN)}),
    without_request(call('XREVRANGE', key('progress', id), '+', '-', 'COUNT', 200))}
end
