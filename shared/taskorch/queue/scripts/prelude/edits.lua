-- Edits: what an orchestrator changes of an item after its creation, by `edit` or by a
--        plan that is applied again; and the dependencies of items.
--
-- `wanted` has by field what it becomes, as it is stored: '' removes it. A list or the
-- context may be changed in part instead: 'labels+' has the values to add as JSON,
-- 'labels-' those to remove. An `edit` is what `wanted` changes of one item:
--   changes, refused  {{name of the field, before, after} …} for people
--   fields            field, stored value … to write
--   removed           fields to delete
--   priority, depends_on  those after it, or nil if they do not change
--   added, dropped    the dependencies that it adds and removes
--   is_of_work        it changes more than a holder may go on with
--
-- Lua allows 200 local variables at a time, so a block hides those of this file, and
-- `editing` has its functions.

local MAX_FOLLOWED, FOLLOWED_BY_ITEM, MAX_LABELS, MAX_VALUES, MAX_BYTES = 3000, 10, 20, 200, 262144
local editing = {
  NOT_BEGUN = {pending = true, waiting = true, queued = true, delayed = true},
}

do
  -- Bytes of a value that the history shows, and of those before the first difference. All
  -- changes of an edit are one field of a report, which has at most 64 KiB as JSON.
  local MAX_SHOWN, SHOWN_BEFORE = 400, 40
  -- Bytes of several items that a call changes. A context that it changes counts three
  -- times: to parse it takes as long.
  local MAX_CHANGED_BYTES = 1048576
  local OF_HELD = {priority = true, labels = true, context = true}
  local NAMES = {
    criteria = 'acceptance criteria', checks = 'acceptance checks',
    deliverables_expected = 'expected deliverables', lease_ms = 'lease',
    max_attempts = 'max attempts', depends_on = 'dependencies',
  }
  local TEXTS = {'title', 'description', 'reviewer'}
  local LISTS = {'requirements', 'criteria', 'deliverables_expected', 'resources', 'labels'}
  local UNITS = {{'h', 3600000}, {'m', 60000}, {'s', 1000}}

  function editing.parsed(text)
    local ok, value = pcall(cjson.decode, text)
    return ok and type(value) == 'table' and value or {}
  end

  function editing.set_of(list)
    local set = {}
    for _, value in ipairs(list) do set[value] = true end
    return set
  end

  -- Dependencies -----------------------------------------------------------------------

  function editing.dependencies_of(id)
    local listed = call('HGET', key('item', id), 'depends_on')
    return listed and cjson.decode(listed) or {}
  end

  -- Refuses if the dependencies of one of the `items`, which change, lead back to it.
  -- `after` has those of each such item, by its id, or by a number if it is not created
  -- yet. The walk visits each item once, and follows completed dependencies too, because
  -- `requeue` opens them again. `keys` has the key of each item that is not created yet.
  function editing.refuse_cycles(items, after, keys)
    local is_done, place, path, followed = {}, {}, {}, 0
    local target

    local function follow(number)
      followed = followed + number
      if followed > MAX_FOLLOWED then refuse('TOO_DEEP', {item = target, most = MAX_FOLLOWED}) end
    end

    -- To read an item takes as long as to follow some of its dependencies.
    local function enter(node)
      follow(FOLLOWED_BY_ITEM)
      table.insert(path, {node = node, left = after[node] or editing.dependencies_of(node), at = 0})
      place[node] = #path
    end

    local function name_of(node) return type(node) == 'number' and keys[node] or node end

    local function refuse_if_changed(first)
      for i = first, #path do
        local step = path[i]
        if after[step.node] then
          local next = path[i + 1] or path[first]
          refuse('CYCLE', {item = name_of(step.node), dependency = name_of(next.node)})
        end
      end
    end

    -- Only an item that others depend on can be in a cycle. Most items are new, and have none.
    local is_wanted = {}
    for _, dependencies in pairs(after) do
      for _, id in ipairs(dependencies) do is_wanted[id] = true end
    end
    local function has_dependents(id)
      return is_wanted[id] or call('EXISTS', key('dependents', id), key('satisfied', id)) > 0
    end

    for _, root in ipairs(items) do
      target = root
      if not is_done[root] and has_dependents(root) then enter(root) end
      while #path > 0 do
        local step = path[#path]
        step.at = step.at + 1
        local next = step.left[step.at]
        if next == nil then
          is_done[step.node], place[step.node] = true, nil
          table.remove(path)
        else
          follow(1)
          if place[next] then
            refuse_if_changed(place[next])
          elseif not is_done[next] then
            enter(next)
          end
        end
      end
    end
  end

  -- Adds open and completed dependencies to the sets of both items.
  function editing.add_dependencies(id, dependencies, states)
    local open = {}
    for _, dependency in ipairs(dependencies) do
      local is_open = states[dependency] ~= 'completed'
      if is_open then table.insert(open, dependency) end
      call('SADD', key(is_open and 'dependents' or 'satisfied', dependency), id)
    end
    call_in_chunks('SADD', key('deps', id), open)
  end

  local function remove_dependencies(id, dependencies)
    for _, dependency in ipairs(dependencies) do
      call('SREM', key('dependents', dependency), id)
      call('SREM', key('satisfied', dependency), id)
    end
    call_in_chunks('SREM', key('deps', id), dependencies)
  end

  -- What changes ------------------------------------------------------------------------

  -- Returns the place of the character that the byte at `at` belongs to.
  local function start_of_character(text, at)
    local byte = string.byte(text, at)
    while byte and at > 1 and byte >= 128 and byte < 192 do
      at = at - 1
      byte = string.byte(text, at)
    end
    return at
  end

  -- Returns a part of a text from a byte on, without half a character at either end.
  local function shown(text, from)
    if text == '' then return '(none)' end
    local first = start_of_character(text, from)
    local part = string.sub(text, first)
    if #part > MAX_SHOWN then
      part = string.sub(part, 1, start_of_character(part, MAX_SHOWN + 1) - 1) .. '…'
    end
    return (first > 1 and '…' or '') .. part
  end

  -- Returns the number of bytes with which both texts begin.
  local function common_start(one, other)
    local same, differs = 0, math.min(#one, #other) + 1
    while differs - same > 1 do
      local middle = math.floor((same + differs) / 2)
      if string.sub(one, same + 1, middle) == string.sub(other, same + 1, middle) then
        same = middle
      else
        differs = middle
      end
    end
    return same
  end

  -- Returns two different texts as the history shows them: of long ones, the part around
  -- the first difference.
  local function shown_pair(before, after)
    local from = 1
    if math.max(#before, #after) > MAX_SHOWN then
      from = math.max(1, common_start(before, after) + 1 - SHOWN_BEFORE)
    end
    return shown(before, from), shown(after, from)
  end

  local function shown_duration(ms)
    for _, unit in ipairs(UNITS) do
      if ms % unit[2] == 0 then return string.format('%d', ms / unit[2]) .. unit[1] end
    end
    return string.format('%d', ms) .. 'ms'
  end

  local function may_change(item, field)
    local is_held = item.state == 'in_progress' or item.state == 'blocked'
    if is_held then return OF_HELD[field] end
    if item.state == 'review' then return OF_HELD[field] or field == 'reviewer' end
    return item.state ~= 'completed' or field == 'labels'
  end

  -- Notes one change; `stored` is '' for a field to delete, nil for one that is written
  -- already.
  local function note_change(item, edit, field, stored, before, after)
    local row = {NAMES[field] or field, shown_pair(before, after)}
    if not may_change(item, field) then
      table.insert(edit.refused, row)
      return
    end
    table.insert(edit.changes, row)
    if not OF_HELD[field] then edit.is_of_work = true end
    if stored == '' then
      table.insert(edit.removed, field)
    elseif stored then
      table.insert(edit.fields, field)
      table.insert(edit.fields, stored)
    end
  end

  -- Returns the list that a field becomes.
  function editing.target_list(before, wanted, field)
    local list, known = {}, {}
    local removed = editing.set_of(editing.parsed(wanted[field .. '-'] or '[]'))
    local function add(values)
      for _, value in ipairs(values) do
        if not known[value] and not removed[value] then table.insert(list, value) end
        known[value] = true
      end
    end
    add(wanted[field] and editing.parsed(wanted[field] ~= '' and wanted[field] or '[]') or before)
    add(editing.parsed(wanted[field .. '+'] or '[]'))
    return list
  end

  local function is_same_list(one, other)
    if #one ~= #other then return false end
    for i = 1, #one do
      if one[i] ~= other[i] then return false end
    end
    return true
  end

  local function change_list(item, edit, stored, wanted, field)
    local replaces, adds, removes = wanted[field], wanted[field .. '+'], wanted[field .. '-']
    if not (replaces or adds or removes) then return end
    if replaces == stored and not (adds or removes) then return end
    local before = editing.parsed(stored ~= '' and stored or '[]')
    local after
    if adds or removes then
      after = editing.target_list(before, wanted, field)
      replaces = #after > 0 and cjson.encode(after) or ''
    else
      after = editing.parsed(replaces ~= '' and replaces or '[]')
      if #after == 0 then replaces = '' end
    end
    if is_same_list(before, after) then return end
    local most = field == 'labels' and MAX_LABELS or MAX_VALUES
    if #after > most then refuse('TOO_MANY', {item = item.id, what = field, most = most}) end
    note_change(item, edit, field, replaces, table.concat(before, '; '), table.concat(after, '; '))
  end

  -- Refuses more than one item of a call if too much of them was read by now.
  function editing.refuse_many_bytes(id, items)
    if items > 1 and bytes_read > MAX_CHANGED_BYTES then
      refuse('TOO_MANY', {item = id, what = 'bytes, with the items before it',
        most = MAX_CHANGED_BYTES})
    end
  end

  -- Returns a context with more values, without those to remove.
  function editing.merged_context(id, before, wanted)
    bytes_read = bytes_read + 2 * #before
    local all = wanted['context'] == '' and {} or editing.parsed(before ~= '' and before or '{}')
    for _, name in ipairs(editing.parsed(wanted['context-'] or '[]')) do all[name] = nil end
    for name, value in pairs(editing.parsed(wanted['context+'] or '{}')) do all[name] = value end
    local values, bytes = 0, 0
    for name, value in pairs(all) do
      values = values + 1
      bytes = bytes + #name + #value
    end
    if values > MAX_VALUES then
      refuse('TOO_MANY', {item = id, what = 'context values', most = MAX_VALUES})
    end
    if bytes > MAX_BYTES then
      refuse('TOO_MANY', {item = id, what = 'bytes of context', most = MAX_BYTES})
    end
    return all, values > 0 and cjson.encode(all) or ''
  end

  -- Returns NAME=VALUE of each value that another context does not have.
  local function pairs_of(context, other)
    local found = {}
    for name, value in pairs(context) do
      if other[name] ~= value then table.insert(found, name .. '=' .. tostring(value)) end
    end
    table.sort(found)
    return found
  end

  local function change_context(item, edit, stored, wanted)
    if not (wanted['context'] or wanted['context+'] or wanted['context-']) then return end
    local before = editing.parsed(stored ~= '' and stored or '{}')
    local after, document = editing.merged_context(item.id, stored, wanted)
    local old, new = pairs_of(before, after), pairs_of(after, before)
    if #old == 0 and #new == 0 then return end
    note_change(item, edit, 'context', document, table.concat(old, '; '), table.concat(new, '; '))
  end

  -- Returns the checks of an item as the history shows them.
  local function shown_checks(stored)
    local shown = {}
    for i, check in ipairs(editing.parsed(stored ~= '' and stored or '[]')) do
      local run = type(check.run) == 'table' and table.concat(check.run, ' ')
      shown[i] = run or (check.file and 'file ' .. check.file)
        or 'deliverable ' .. tostring(check.deliverable)
    end
    return table.concat(shown, '; ')
  end

  -- Checks are replaced as a whole: they come in the form in which they are stored. The results
  -- of the former ones prove nothing any more.
  local function change_checks(item, edit, stored, wanted)
    if not wanted.checks or wanted.checks == stored then return end
    note_change(item, edit, 'checks', wanted.checks, shown_checks(stored),
      shown_checks(wanted.checks))
    if may_change(item, 'checks') then table.insert(edit.removed, 'evidence') end
  end

  -- `keys` has the key of each item that is not created yet, by its number.
  local function named_dependencies(list, keys)
    local names = {}
    for i, id in ipairs(list) do names[i] = type(id) == 'number' and keys[id] or id end
    return table.concat(names, '; ')
  end

  local function change_dependencies(item, edit, stored, wanted, after, keys)
    local before = parse_ids(stored ~= '' and stored or '[]')
    if not after and (wanted['depends_on+'] or wanted['depends_on-']) then
      after = editing.target_list(before, wanted, 'depends_on')
    end
    if not after then return end
    local was, is = editing.set_of(before), editing.set_of(after)
    local added, removed = {}, {}
    for _, id in ipairs(after) do
      if not was[id] then table.insert(added, id) end
    end
    for _, id in ipairs(before) do
      if not is[id] then table.insert(removed, id) end
    end
    if #added == 0 and #removed == 0 then return end
    if #after > MAX_DEPENDENCIES then
      refuse('TOO_MANY', {item = item.id, what = 'dependencies', most = MAX_DEPENDENCIES})
    end
    edit.added, edit.dropped, edit.depends_on = added, removed, after
    note_change(item, edit, 'depends_on', nil, table.concat(before, '; '),
      named_dependencies(after, keys))
  end

  -- Returns the edit that `wanted` makes of an item. `dependencies` are all that it
  -- depends on then, or nil to leave them; a number stands for an item that is not
  -- created yet, and `keys` has its key. Nothing is written.
  function editing.edit_of(item, wanted, dependencies, keys)
    local edit = {changes = {}, refused = {}, fields = {}, removed = {}}
    local v = read_hash('item', item.id, 'HMGET', 'title', 'description', 'requirements',
      'criteria', 'deliverables_expected', 'resources', 'labels', 'context', 'depends_on',
      'reviewer', 'checks')
    local stored = {
      title = v[1], description = v[2], requirements = v[3], criteria = v[4],
      deliverables_expected = v[5], resources = v[6], labels = v[7], reviewer = v[10],
    }
    for _, field in ipairs(TEXTS) do
      local before = stored[field] or ''
      if wanted[field] and wanted[field] ~= before then
        note_change(item, edit, field, wanted[field], before, wanted[field])
      end
    end
    for _, field in ipairs(LISTS) do change_list(item, edit, stored[field] or '', wanted, field) end
    change_checks(item, edit, v[11] or '', wanted)
    change_context(item, edit, v[8] or '', wanted)
    if wanted.priority and wanted.priority ~= item.priority then
      edit.priority = wanted.priority
      note_change(item, edit, 'priority', wanted.priority, item.priority, wanted.priority)
    end
    if wanted.max_attempts and tonumber(wanted.max_attempts) ~= item.max_attempts then
      note_change(item, edit, 'max_attempts', wanted.max_attempts, tostring(item.max_attempts),
        wanted.max_attempts)
    end
    if wanted.lease_ms and wanted.lease_ms ~= item.lease_ms then
      note_change(item, edit, 'lease_ms', wanted.lease_ms, shown_duration(item.lease_ms),
        shown_duration(wanted.lease_ms))
    end
    change_dependencies(item, edit, v[9] or '', wanted, dependencies, keys)
    if #edit.changes > 0 then refuse_growth(item.id, edit.fields, edit.removed) end
    if not may_change(item, 'priority') then edit.priority = nil end
    if not may_change(item, 'depends_on') then edit.depends_on = nil end
    return edit
  end

  function editing.names_of(rows)
    local names = {}
    for i, row in ipairs(rows) do names[i] = row[1] end
    return names
  end

  -- Returns the changes that this request has made of an item, as its history has them.
  function editing.changes_in_history(id)
    local reports = read_entries('XREVRANGE', key('progress', id), '+', '-', 100,
      REPORT_BYTES_LOOKED_AT)
    for _, entry in ipairs(reports) do
      local is_edit = value_of(entry[2], 'kind') == 'edit'
      if is_edit and value_of(entry[2], 'request') == request then
        return editing.parsed(value_of(entry[2], 'changes') or '[]')
      end
    end
    return {}
  end

  -- Adds names to those that the holder learns of with its next report, and to the
  -- `fields` to write.
  function editing.tell_holder(item, names, fields)
    if item.live_token == '' then return end
    local told = {}
    for name in string.gmatch(item.edited, '[^,]+') do table.insert(told, name) end
    local is_told = editing.set_of(told)
    for _, name in ipairs(names) do
      if not is_told[name] then table.insert(told, name) end
    end
    item.edited = table.concat(told, ',')
    table.insert(fields, 'edited')
    table.insert(fields, item.edited)
  end

  -- Writes an edit with its report and its event. If the work changed, the token of an
  -- expired attempt is revoked. `states` has those of new dependencies.
  function editing.write_edit(item, edit, states)
    if #edit.changes == 0 then return end
    local state_before = item.state
    if edit.is_of_work and item.live_token ~= '' then Lease.revoke_token(item) end
    report(item, 'edit', 'changes', cjson.encode(edit.changes))
    local changes_rank = item.state == 'queued' and edit.priority
    local moves = changes_rank or (editing.NOT_BEGUN[item.state] and edit.depends_on)
    if moves then remove_from_index(item) end
    item.priority = edit.priority or item.priority
    if edit.depends_on then
      remove_dependencies(item.id, edit.dropped)
      editing.add_dependencies(item.id, edit.added, states)
      local all = #edit.depends_on > 0 and cjson.encode(edit.depends_on)
      table.insert(all and edit.fields or edit.removed, 'depends_on')
      if all then table.insert(edit.fields, all) end
    end
    if moves then enqueue_or_wait(item) end
    editing.tell_holder(item, editing.names_of(edit.changes), edit.fields)
    if #edit.removed > 0 then call('HDEL', key('item', item.id), unpack(edit.removed)) end
    local since = changed_at(item.id)
    local event = emit('edit', item, unpack(edit.fields))
    if item.state == state_before then keep_since(item, event, since) end
  end
end
