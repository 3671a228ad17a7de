-- quarantine: moves a damaged item, project or agent to `damaged:<number>`, where no
--             script works with it and people can look at it.
-- KEYS     meta
-- ARGV     7 kind: 'item', 'project' or 'agent', 8 its id or name, 9 why
-- RETURNS  {id}
-- ERRORS   none of its own
local kind, id, why = ARGV[7], ARGV[8], ARGV[9]

-- The items of the project still exist, so it stays, with its id as its title.
local function recreate_project()
  local created_at = call('ZSCORE', prefix .. 'projects', id)
  if not created_at or not is_id('proj', id) then return end
  call('HSET', key('project', id), 'title', id, 'description', '', 'status', 'active',
    'orchestrator', caller.agent, 'created_at', string.format('%d', created_at))
end

return once(function()
  quarantine(kind, id, why)
  if kind == 'project' then recreate_project() end
  if kind == 'agent' and not is_name(id) then call('ZREM', prefix .. 'agents', id) end
  return {id}
end)
