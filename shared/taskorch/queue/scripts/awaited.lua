-- awaited: checks some items of a completed project that is to be purged: no item of
--          another project may wait for one.
-- KEYS     meta
-- ARGV     7 project, 8 number of items to skip, 9 maximum number of items
-- RETURNS  number to skip next time, or '' at the end
-- ERRORS   NO_PROJECT WRONG_STATE AWAITED
return guarded(function()
  local id, from, limit = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
  local status = need_project(id)
  if status ~= 'completed' then refuse_state({id = id, state = status}, 'purge') end
  local page = call('ZRANGE', key('project', id) .. ':items', from, from + limit - 1)
  refuse_any_awaited(id, page)
  return #page == limit and tostring(from + limit) or ''
end)
