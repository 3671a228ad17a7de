-- edit: changes items, all or none. Once an agent has begun an item, only its priority,
--       labels and context can change; once it is completed, only its labels.
-- KEYS     meta
-- ARGV     7 '1' for a dry run, then for each item its id, number n of words, then n
--          words: field, value …
-- RETURNS  {{item id, state, {{field, before, after} …}} …}, values as people read them
-- ERRORS   NO_ITEM TOO_MANY TOO_LARGE BEGUN WRONG_STATE CYCLE TOO_DEEP
local FIRST = 8
local is_dry = ARGV[7] ~= ''
-- `states` has those of new dependencies, by id.
local changes, states = {}, {}

local function wanted_of(at)
  local wanted = {}
  for i = at + 2, at + 1 + ARGV[at + 1], 2 do wanted[ARGV[i]] = ARGV[i + 1] end
  return wanted, at + 2 + ARGV[at + 1]
end

local function check_dependencies(wanted)
  for _, id in ipairs(editing.parsed(wanted['depends_on+'] or '[]')) do
    scope.refuse_foreign_item(id)
    states[id] = states[id] or state_of(id) or refuse_no_item(id)
  end
end

local function check(item, wanted)
  check_dependencies(wanted)
  local edit = editing.edit_of(item, wanted)
  if #edit.refused > 0 then
    local is_over = item.state == 'completed' or item.state == 'review'
    if is_over then refuse_state(item, 'edit') end
    local fields = table.concat(editing.names_of(edit.refused), ', ')
    refuse('BEGUN', {item = item.id, state = item.state, agent = item.agent, fields = fields})
  end
  changes[item.id] = edit.changes
  return edit
end

local function refuse_cycles(items, edits)
  local ids, after = {}, {}
  for i, item in ipairs(items) do
    if edits[i].added then
      table.insert(ids, item.id)
      after[item.id] = edits[i].depends_on
    end
  end
  editing.refuse_cycles(ids, after)
end

local function edit_all()
  local items, edits, at = {}, {}, FIRST
  local is_named = {}
  while at <= #ARGV do
    local item = need_item(ARGV[at])
    if is_named[item.id] then
      refuse('TOO_MANY', {item = item.id, what = 'mentions in a call', most = 1})
    end
    is_named[item.id] = true
    local wanted
    wanted, at = wanted_of(at)
    table.insert(items, item)
    table.insert(edits, check(item, wanted))
    editing.refuse_many_bytes(item.id, #items)
  end
  refuse_cycles(items, edits)

  if not is_dry then
    begin_batch(items)
    for i, item in ipairs(items) do editing.write_edit(item, edits[i], states) end
  end
  local rows = {}
  for i, item in ipairs(items) do
    rows[i] = {item.id, item.state, #edits[i].changes > 0 and 'edit' or ''}
  end
  return rows
end

-- The kept reply has no texts: a repeat reads them from the history.
local function with_changes(rows)
  local full = {}
  for i, row in ipairs(rows) do
    local id, state, remark = unpack(row)
    full[i] = {id, state, changes[id] or (remark ~= '' and editing.changes_in_history(id) or {})}
  end
  return full
end

if is_dry then return guarded(function() return with_changes(edit_all()) end) end
return once(edit_all, with_changes)
