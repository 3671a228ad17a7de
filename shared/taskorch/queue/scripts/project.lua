-- project: creates a project without items. A repeat of its id changes nothing.
-- KEYS     meta
-- ARGV     7 title, 8 description, 9 random digits for its id, or the id that it had
--          elsewhere, 10 created ms or ''
-- RETURNS  {project id}
-- ERRORS   none of its own
return once(function()
  local title, description, digits, created_at = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local id = new_id('project', digits)
  if call('EXISTS', key('project', id)) == 1 then return {id} end

  if created_at == '' then created_at = now end
  return {Project.create(id, title, description, created_at)}
end)
