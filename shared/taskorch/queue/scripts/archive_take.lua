-- archive_take: takes the right to archive an old project for a day. In that day only
--               this root may take it again, which ends its earlier run.
-- KEYS     meta
-- ARGV     7 project, 8 root, 9 minimum age in ms since its completion
-- RETURNS  {run, or '' if the root may not archive it now; the file of an archive that is
--          complete, or ''}
-- ERRORS   NO_PROJECT WRONG_STATE
local ROOT_MS = 86400000

return once(function()
  local id, root, age = ARGV[7], ARGV[8], tonumber(ARGV[9])
  local status = Project.need(id)
  if status ~= 'completed' then refuse_state({id = id, state = status}, 'archive') end
  local completed_at = call('HGET', key('project', id), 'completed_at') or ''
  local is_old = is_number(completed_at) and tonumber(completed_at) + age <= now
  local archive = key('archive', id)
  local holder, ends, file = unpack(call('HMGET', archive, 'root', 'until', 'file'))
  local is_others = holder and holder ~= root and tonumber(ends) > now
  if is_others or not is_old then return {'', ''} end

  local goes_on = holder == root and tonumber(ends) > now
  if not goes_on then ends = string.format('%d', now + ROOT_MS) end
  call('HSET', archive, 'root', root, 'run', request, 'until', ends)
  return {request, file or ''}
end, nil, nil, true)
