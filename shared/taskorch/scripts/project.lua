-- project: a new project, made of no items yet.
-- KEYS     meta
-- ARGV     7 title, 8 description, 9 random digits for its id
-- RETURNS  {project id}
-- ERRORS   none of its own
return once(function()
  local title, description, digits = ARGV[7], ARGV[8], ARGV[9]
  local id = new_id('project', digits)

  call('HSET', key('project', id), 'title', title, 'description', description, 'status', 'active',
    'orchestrator', me.agent, 'created_at', now)
  call('ZADD', prefix .. 'projects', now, id)
  emit('project', {project = id, state = 'active'})
  return {id}
end)
