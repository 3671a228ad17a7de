-- finished: the projects that have been completed for a while, in the order of their creation.
-- KEYS     meta
-- ARGV     7 for how many ms, 8 how many projects to pass over, 9 how many to look at
-- RETURNS  {how many to pass over next, or '' at the end, {project view …}}
-- ERRORS   none of its own
return guarded(function()
  local least, from, limit = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
  local page, found = call('ZRANGE', prefix .. 'projects', from, from + limit - 1), {}
  for _, id in ipairs(page) do
    local completed_at = call('HGET', key('project', id), 'completed_at')
    if completed_at and is_number(completed_at) and tonumber(completed_at) + least <= now then table.insert(found, project_view(id)) end
  end
  return {#page == limit and tostring(from + limit) or '', found}
end)
