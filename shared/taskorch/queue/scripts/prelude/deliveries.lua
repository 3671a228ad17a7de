-- Deliveries: what is checked and written when an item is completed, and how a repeat finds
--             that. `complete` itself has only what depends on its arguments, because each
--             call defines the functions of a script again.

local Delivery = {}

do
  -- Bytes of the end of an output that is kept with an item.
  local TAIL_BYTES = 2000
  -- The processes that may say of themselves that they have run a check.
  local SOURCES = {worker = true, run = true, mirror = true}
  -- Reports among which the completion by a repeated request is looked for.
  local REPORTS_LOOKED_AT = 200

  -- Returns a JSON object or list; an empty one if it is missing or damaged.
  local function parse_json(json)
    local ok, values = pcall(cjson.decode, json or '{}')
    return ok and type(values) == 'table' and values or {}
  end

  -- An item is delivered once: a summary or a deliverable that it does not have would be
  -- lost.
  function Delivery.check_repeat(item, summary, deliverables)
    local kept = call('HMGET', key('item', item.id), 'summary', 'deliverables')
    local kept_summary, delivered = kept[1] or '', parse_json(kept[2])
    local is_known = summary == '' or summary == kept_summary
    for name, value in pairs(parse_json(deliverables)) do
      if delivered[name] ~= value then is_known = false end
    end
    if not is_known then
      refuse('ALREADY_COMPLETED', {item = item.id, state = item.state, verb = 'complete',
        summary = kept_summary, reopens = Project.reopens(item.id)})
    end
  end

  local function is_same(one, other)
    if type(one) ~= 'table' or type(other) ~= 'table' then return one == other end
    for name, value in pairs(one) do
      if not is_same(value, other[name]) then return false end
    end
    for name in pairs(other) do
      if one[name] == nil then return false end
    end
    return true
  end

  -- Returns the end of an output that is kept; it does not begin inside of a character.
  local function tail(output)
    if type(output) ~= 'string' then return '' end
    if #output <= TAIL_BYTES then return output end
    return (string.gsub(string.sub(output, -TAIL_BYTES), '^[\128-\191]+', ''))
  end

  -- Returns the result of a check as it is kept. What comes through a gateway is only
  -- reported by its client.
  local function kept_result(check, given)
    local source = SOURCES[given.source] and given.source or 'worker'
    if caller.access_token ~= '' then source = 'client' end
    return {check = check, passed = true, source = source, output = tail(given.output),
      exit_code = tonumber(given.exit_code), duration_ms = tonumber(given.duration_ms) or 0}
  end

  local function shown_check(check)
    if type(check.run) == 'table' then return table.concat(check.run, ' ') end
    return 'file ' .. tostring(check.file)
  end

  -- Returns the duration in ms of the lease of an item and what is left of it, for the client
  -- that renews it while it runs checks. An item that is not held yet gets a whole lease.
  local function times_of_lease(item)
    local lease_ms = tonumber(is_held(item) and item.claim_lease_ms or item.lease_ms)
    local expires = tonumber(call('ZSCORE', prefix .. 'leases', item.id) or now + lease_ms)
    return lease_ms, math.max(0, expires - now)
  end

  -- Returns the evidence that is kept as JSON. The results are those of the checks in their
  -- order, without the deliverables, which are checked here.
  function Delivery.evidence(item, stored, deliverables, evidence)
    local delivered, results = parse_json(deliverables), parse_json(evidence ~= '' and evidence or '[]')
    local kept, failed, place, is_shown = {}, {}, 0, true
    for i, check in ipairs(parse_json(stored)) do
      local name = type(check) == 'table' and check.deliverable
      if name then
        kept[i] = {check = check, passed = true, source = 'queue', output = '', duration_ms = 0}
        if (delivered[name] or '') == '' then
          table.insert(failed, {check = 'deliverable ' .. name, problem = 'it was not delivered'})
        end
      else
        place = place + 1
        local given = results[place]
        if type(given) ~= 'table' or not is_same(given.check, check) then
          is_shown = false
        elseif given.passed ~= true then
          table.insert(failed, {check = shown_check(check), problem = 'it did not pass'})
        else
          kept[i] = kept_result(check, given)
        end
      end
    end
    if #failed > 0 then refuse('CHECKS_FAILED', {item = item.id, failed = failed}) end
    local lease_ms, left_ms
    if item.only_reports or not is_shown then lease_ms, left_ms = times_of_lease(item) end
    if item.only_reports then refuse('RUN_COMPLETES', {item = item.id, checks = stored,
      lease_ms = lease_ms, left_ms = left_ms}) end
    if not is_shown then refuse('UNCHECKED', {item = item.id, checks = stored,
      lease_ms = lease_ms, left_ms = left_ms}) end
    return cjson.encode(kept)
  end

  -- Returns the fields of a delivered item, and `...`.
  function Delivery.fields(item, summary, deliverables, usage, ...)
    local fields = {'percent', 100, ...}
    for _, word in ipairs(usage and Usage.count(item, usage) or {}) do table.insert(fields, word) end
    if item.evidence then fields = {'evidence', item.evidence, unpack(fields)} end
    if summary ~= '' then fields = {'summary', summary, unpack(fields)} end
    if deliverables ~= '{}' then fields = {'deliverables', deliverables, unpack(fields)} end
    return unpack(fields)
  end

  -- Returns the expected deliverables that are not the name or the value of a delivered
  -- one.
  function Delivery.missing(id)
    local fields =
      call('HMGET', key('item', id), 'deliverables_expected', 'deliverables')
    local names, known = {}, {}
    if not fields[1] then return names end
    for name, value in pairs(parse_json(fields[2])) do
      known[name], known[value] = true, true
    end
    for _, name in ipairs(parse_json(fields[1])) do
      if type(name) == 'string' and not known[name] then table.insert(names, name) end
    end
    return names
  end

  -- A repeat makes a receipt again from the item's report, if it has no news of comments,
  -- edits or questions for the holder.
  function Delivery.is_made_again(settled)
    local _, _, _, _, remark, _, _, edited, comments, _, questions = unpack(settled)
    return remark ~= 'repeat' and edited == '' and #comments == 0 and questions[2] == ''
  end

  -- Returns the receipt of an item that this request has completed before, or nil. Whatever
  -- became of the item since then, the report has the request.
  function Delivery.receipt_of_first_copy(item, token)
    local reports = call('XREVRANGE', key('progress', item.id), '+', '-', 'COUNT',
      REPORTS_LOOKED_AT)
    if #reports == 0 then reports = {Reports.completion(item.id)} end
    for _, entry in ipairs(reports) do
      local fields = entry[2]
      if value_of(fields, 'kind') == 'complete' and value_of(fields, 'request') == request then
        local was_claimed = token == ''
        local state = value_of(fields, 'reviewer') and 'review' or 'completed'
        return {item.id, was_claimed and value_of(fields, 'token') .. ':' .. request or token,
          '', state, was_claimed and 'claimed' or '', '', '', '', {}, 0, {'', '', ''}}
      end
    end
  end
end
