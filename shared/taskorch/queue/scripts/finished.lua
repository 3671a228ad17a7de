-- finished: the projects that were completed some time ago, in the order of their
--           creation.
-- KEYS     meta
-- ARGV     7 minimum age in ms, 8 number of projects to skip, 9 maximum number to look
--          at
-- RETURNS  {number to skip next time, or '' at the end, {project view …}}
-- ERRORS   none of its own
return guarded(function()
  local age, from, limit = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
  local page, found = call('ZRANGE', prefix .. 'projects', from, from + limit - 1), {}
  for i, id in ipairs(page) do
    local completed_at = call('HGET', key('project', id), 'completed_at') or ''
    if is_number(completed_at) and tonumber(completed_at) + age <= now then
      table.insert(found, View.project(id))
      if not View.has_room() then return {tostring(from + i), found} end
    end
  end
  return {#page == limit and tostring(from + limit) or '', found}
end)
