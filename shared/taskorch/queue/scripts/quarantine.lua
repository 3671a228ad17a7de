-- quarantine: moves a damaged item, project or agent to where nothing works with it, and people can look at it.
-- KEYS     meta
-- ARGV     7 kind: 'item', 'project' or 'agent', 8 its id or name, 9 why
-- RETURNS  {id}
-- ERRORS   none of its own
local kind, id, why = ARGV[7], ARGV[8], ARGV[9]

-- Its items are still there: so it goes on, under its id as its title.
local function renew_project()
  local created = call('ZSCORE', prefix .. 'projects', id)
  if not created or not is_id('proj', id) then return end
  call('HSET', key('project', id), 'title', id, 'description', '', 'status', 'active', 'orchestrator', me.agent,
    'created_at', string.format('%d', created))
end

return once(function()
  set_aside(kind, id, why)
  if kind == 'project' then renew_project() end
  if kind == 'agent' and not is_name(id) then call('ZREM', prefix .. 'agents', id) end
  return {id}
end)
