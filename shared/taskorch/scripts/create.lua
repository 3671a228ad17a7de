-- create: a new item in a project, assigned at once if an agent is named. A repeat of its key or id gets the first item.
-- KEYS     meta
-- ARGV     7 project, 8 random digits for its id, or the id that it had elsewhere, 9 idempotency key or '',
--          10 agent or '', 11 not before (ms or 0), 12 delay ms or 0, 13 number n of dependencies, then n ids, then field, value …
-- RETURNS  {item id, state, '' or 'repeat'}
-- ERRORS   NO_PROJECT PROJECT_CLOSED NO_ITEM (a dependency, or the item of the key)
return once(function()
  local project, digits, idempotency, agent = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local not_before, delay, n = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
  local keys = key('project', project) .. ':keys'
  need_project(project)
  local known = idempotency ~= '' and call('HGET', keys, idempotency)
  if known then return {known, load(known).state, 'repeat'} end
  local kept = find(digits)
  if kept then return {kept.id, kept.state, 'repeat'} end
  need_open_project(project)
  local depends_on, open = {unpack(ARGV, 14, 13 + n)}, {}
  for _, id in ipairs(depends_on) do
    if load(id).state ~= 'completed' then table.insert(open, id) end
  end

  local item = {id = new_id('item', digits), project = project, agent = agent, seq = next_sequence()}
  item.not_before = delay > 0 and now + delay or not_before
  set(item, 'project', project, 'agent', agent, 'token', 0, 'attempts', 0, 'seq', item.seq,
    'not_before', item.not_before, 'created_at', now, unpack(ARGV, 14 + n))
  item.priority = call('HGET', key('item', item.id), 'priority')
  if agent ~= '' then
    set(item, 'assigned_at', now, 'assigned_by', me.agent)
    call('ZADD', prefix .. 'agents', 'NX', 0, agent)
  end
  if n > 0 then set(item, 'depends_on', cjson.encode(depends_on)) end
  for _, id in ipairs(open) do
    call('SADD', key('deps', item.id), id)
    call('SADD', key('dependents', id), item.id)
  end
  call('ZADD', key('project', project) .. ':items', item.seq, item.id)
  if idempotency ~= '' then call('HSET', keys, idempotency, item.id) end
  place(item)
  emit('create', item)
  return {item.id, item.state, ''}
end)
