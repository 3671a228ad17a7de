-- Packages: an item with everything that its agent needs, and the findings of others in
--           it.

local findings_view, reports_before, package_view, package_bytes

do
  -- Findings of a package: the number of each kind, the bytes of a text, and the bytes
  -- after which no more of a kind are read.
  local FINDINGS_SHOWN, FINDING_BYTES, FINDINGS_READ = 5, 1000, 65536
  -- Entries that are fetched together, and those in which findings are sought.
  local FINDINGS_FETCHED, MAX_SEARCHED = 6, 100
  -- Reports of a package, and their bytes.
  local REPORTS_SHOWN, REPORT_BYTES = 50, 524288

  -- Returns the beginning of a text, of whole characters.
  local function beginning(text)
    local last = FINDING_BYTES
    if #text <= last then return text end
    while last > 0 and math.floor(string.byte(text, last + 1) / 64) == 2 do last = last - 1 end
    return string.sub(text, 1, last)
  end

  -- Returns a discovery with the beginnings of its texts; its field `cut` is 1 if there
  -- is more of them.
  local function finding(project, entry)
    local fields, is_cut = {}, ''
    for i = 1, #entry[2], 2 do
      local name, value = entry[2][i], entry[2][i + 1]
      if name ~= 'request' then
        local shown = beginning(value)
        if shown ~= value then is_cut = '1' end
        table.insert(fields, name)
        table.insert(fields, shown)
      end
    end
    table.insert(fields, 'cut')
    table.insert(fields, is_cut)
    return {project, {entry[1], fields}}
  end

  -- Returns the newest discoveries of dependencies, the oldest of them first, and whether
  -- there are more. A caller that is confined to a project gets none of other projects.
  local function findings_of_dependencies(dependencies)
    local newest = {}
    for _, id in ipairs(dependencies) do
      local project = read_hash('item', id, 'HGET', 'project')
      local is_shown = project and is_id('proj', project) and not scope.is_foreign(project)
      local cursors = is_shown and read_hash('found', id, 'LRANGE', -FINDINGS_SHOWN - 1, -1)
      for _, cursor in ipairs(cursors or {}) do
        if string.find(cursor, '^%d+%-%d+$') then
          table.insert(newest, placed({project, {cursor}}))
        end
      end
    end
    table.sort(newest, function(one, other) return is_before(other, one) end)
    local found, bytes = {}, 0
    for _, each in ipairs(newest) do
      local project, cursor = each[1], each[2][1]
      local entry = read_discoveries(project, 'XRANGE', cursor, cursor, 1)[1]
      if entry and (#found == FINDINGS_SHOWN or bytes > FINDINGS_READ) then return found, true end
      if entry then
        bytes = bytes + bytes_of(entry)
        table.insert(found, 1, finding(project, entry))
      end
    end
    return found, false
  end

  -- Returns the n-th newest discovery of a project, or nil. `newest_read` has the newest
  -- ones of each project, as far as they were read.
  local function nth_newest(project, n)
    local entries = newest_read[project] or {}
    newest_read[project] = entries
    if n > #entries and not entries.are_all then
      local last = entries[#entries]
      local from = last and '(' .. last[1] or '+'
      local page = read_discoveries(project, 'XREVRANGE', from, '-', FINDINGS_FETCHED)
      for _, entry in ipairs(page) do table.insert(entries, entry) end
      entries.are_all = #page < FINDINGS_FETCHED
    end
    return entries[n]
  end

  -- Returns the newest discoveries of a project that are not of the items to skip, the
  -- oldest of them first, and whether there are more.
  local function findings_of_project(project, skipped)
    local found, bytes, skipped_bytes = {}, 0, 0
    for n = 1, MAX_SEARCHED do
      local entry = nth_newest(project, n)
      if not entry then return found, false end
      if skipped[value_of(entry[2], 'item')] then
        skipped_bytes = skipped_bytes + bytes_of(entry)
        if skipped_bytes > MAX_REPLY_BYTES then return found, true end
      else
        if #found == FINDINGS_SHOWN or bytes > FINDINGS_READ then return found, true end
        bytes = bytes + bytes_of(entry)
        table.insert(found, 1, finding(project, entry))
      end
    end
    return found, true
  end

  -- Returns {{discovery of a dependency …}, {discovery of its project …}, '1' if there are
  -- more, else ''} of an item: none of its own.
  function findings_view(id, project, dependencies)
    local of_dependencies, more_of_dependencies = findings_of_dependencies(dependencies)
    local skipped = {[id] = true}
    for _, dependency in ipairs(dependencies) do skipped[dependency] = true end
    local of_project, more_of_project = findings_of_project(project, skipped)
    local has_more = more_of_dependencies or more_of_project
    return {of_dependencies, of_project, has_more and '1' or ''}
  end

  -- Returns the newest reports of an item before one of them, or '' for the newest, the
  -- newest first; and whether there are more.
  function reports_before(id, before)
    local from = before == '' and '+' or '(' .. before
    local reports, has_more = read_entries('XREVRANGE', key('progress', id), from, '-',
      REPORTS_SHOWN, REPORT_BYTES)
    return without_request(reports), has_more
  end

  -- Returns what a package has beside its item and its project: {{item view of a dependency
  -- …}, {report …}, findings, {number of dependencies that are left out, '1' if older
  -- reports are, else ''}}.
  local function rest_of_package(id, project, fields)
    local shown, left_out = View.shown_dependencies(fields)
    local views, looked_at = View.items(shown)
    local reports, has_more = reports_before(id, '')
    if #reports == 0 and value_of(fields, 'state') == 'completed' then
      reports = without_request({Reports.completion(id)})
    end
    return {views, reports, findings_view(id, project, shown),
      {left_out + #shown - looked_at, has_more and '1' or ''}}
  end

  -- Returns the package of an item. `expires` is when its lease ends, if the call knows it.
  function package_view(id, expires)
    local view = View.item(id, expires)
    local project = value_of(view[2], 'project')
    if not project or scope.is_foreign(project) then refuse_no_item(id) end
    local rest = rests_read[id] or rest_of_package(id, project, view[2])
    return {view, View.project(project), unpack(rest)}
  end

  -- Returns the bytes of the package of an item, about; its other parts are read.
  function package_bytes(item)
    local before = bytes_read
    local bytes, depends_on = item_bytes(item.id)
    local fields = {'state', item.state, 'depends_on', depends_on}
    rests_read[item.id] = rest_of_package(item.id, item.project, fields)
    return bytes_read - before + bytes
  end
end
