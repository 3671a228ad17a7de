-- project: a new project, made of no items yet.
-- KEYS     meta
-- ARGV     6 title, 7 description, 8 random digits for its id
-- RETURNS  {project id}
-- ERRORS   none of its own
return once(function()
  local title, description, digits = ARGV[6], ARGV[7], ARGV[8]
  local id = new_id('project', digits)

  call('HSET', key('project', id), 'title', title, 'description', description, 'status', 'active',
    'orchestrator', me.agent, 'created_at', now)
  call('ZADD', prefix .. 'projects', now, id)
  emit('project', {project = id, state = 'active'})
  return {id}
end)
