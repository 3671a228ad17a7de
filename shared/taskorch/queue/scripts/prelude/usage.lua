-- Usage: the tokens and the cost of items, their sums, and the budgets that stop claims.
--
-- The sums are in hashes of the same fields: `project:<id>:usage`, `agent:<name>:usage`
-- and, of the namespace, `usage`. A field is 'total', 'day:<days since the epoch>',
-- 'model:<name>' and, of a project, 'agent:<name>'. Its value is four numbers, in the order
-- of FIELDS. The hash `budgets` has '<owner>:day' and '<owner>:total' -> microdollars and
-- tokens, '-' for none; an owner is 'namespace', 'project:<id>' or 'agent:<name>'.

local Usage = {}

do
  local DAY_MS = 86400000
  -- Days that a hash has sums of; and models, and agents: the others count as 'other'.
  local DAYS_KEPT, MAX_NAMES = 90, 100
  local UNKNOWN = 'unknown'
  Usage.FIELDS = {'tokens_in', 'tokens_out', 'cache_read', 'cost_micros'}
  -- A sum is exact up to here, and stays there.
  Usage.MOST = 9e15

  function Usage.today() return math.floor(now / DAY_MS) end

  -- Returns the hash with the sums of an owner.
  function Usage.of(owner)
    return owner == 'namespace' and prefix .. 'usage' or prefix .. owner .. ':usage'
  end

  -- Refuses an owner that does not exist, or that is not the caller's project alone.
  function Usage.need_owner(owner)
    local kind, name = string.match(owner, '^(%l+):?(.*)$')
    if kind == 'project' then
      Project.need(name)
    elseif confined ~= '' then
      refuse('NOT_ALLOWED', {reason = 'it concerns more than one project.'})
    elseif kind == 'agent' and not call('ZSCORE', prefix .. 'agents', name) then
      refuse('NO_AGENT', {agent = name})
    end
  end

  -- Returns the four numbers of a value. Those that a damaged one lacks are 0.
  function Usage.numbers(value)
    if not value or value == '' then return {0, 0, 0, 0} end
    local numbers = {}
    for digits in string.gmatch(value, '%d+') do
      if #numbers < #Usage.FIELDS then
        table.insert(numbers, math.min(tonumber(digits), Usage.MOST))
      end
    end
    while #numbers < #Usage.FIELDS do table.insert(numbers, 0) end
    return numbers
  end

  -- Returns the usage in a word of a call, '<four numbers> <model>'; nil for '' or none.
  function Usage.parse(word)
    if not word or word == '' then return nil end
    local usage = Usage.numbers(string.match(word, '^[%d ]*'))
    usage.model = string.match(word, '^%d+ %d+ %d+ %d+ (%S+)$') or ''
    return usage
  end

  -- Returns `words`, with the field, value … of a usage or of sums that are not 0.
  function Usage.words(usage, words)
    words = words or {}
    if not usage then return words end
    for place, field in ipairs(Usage.FIELDS) do
      if usage[place] > 0 then
        table.insert(words, field)
        table.insert(words, string.format('%d', usage[place]))
      end
    end
    if usage.model ~= '' then
      table.insert(words, 'model')
      table.insert(words, usage.model)
    end
    return words
  end

  local function sum(numbers, usage)
    for place in ipairs(Usage.FIELDS) do
      numbers[place] = math.min(numbers[place] + usage[place], Usage.MOST)
    end
    return numbers
  end

  -- Returns four numbers as one text, as sums are stored.
  function Usage.text(numbers) return string.format('%d %d %d %d', unpack(numbers)) end

  -- Returns the four numbers of an item.
  function Usage.of_item(id)
    local kept, numbers = call('HMGET', key('item', id), unpack(Usage.FIELDS)), {}
    for place in ipairs(Usage.FIELDS) do
      numbers[place] = math.min(tonumber(kept[place] or 0) or 0, Usage.MOST)
    end
    return numbers
  end

  -- Makes room for a new field of a hash: forgets old days, and returns the field to add to.
  function Usage.new_field(hash, field)
    local kind = string.match(field, '^%l+')
    if kind == 'total' then return field end
    local oldest, names = Usage.today() - DAYS_KEPT, 0
    local fields = call('HGETALL', hash)
    for i = 1, #fields, 2 do
      local day = string.match(fields[i], '^day:(%d+)$')
      if day and tonumber(day) <= oldest then call('HDEL', hash, fields[i]) end
      if string.match(fields[i], '^%l+') == kind then names = names + 1 end
    end
    local is_full = kind ~= 'day' and names >= MAX_NAMES
    return is_full and kind .. ':other' or field
  end

  -- Adds a usage to fields of a hash. A key of another type stops no step.
  function Usage.add(hash, usage, fields)
    local kept, words = redis.pcall('HMGET', hash, unpack(fields)), {}
    if kept.err then return end
    for i, field in ipairs(fields) do
      local value = kept[i]
      if not value then
        field = Usage.new_field(hash, field)
        value = call('HGET', hash, field)
      end
      table.insert(words, field)
      table.insert(words, Usage.text(sum(Usage.numbers(value), usage)))
    end
    call('HSET', hash, unpack(words))
  end

  -- Counts a usage in all sums of an item's project and agent, and of the namespace. Returns
  -- the field, value … to write into the item; none for nil.
  function Usage.count(item, usage)
    if not usage then return {} end
    local model = usage.model ~= '' and usage.model or UNKNOWN
    local fields = {'total', 'day:' .. Usage.today(), 'model:' .. model}
    Usage.add(Usage.of('namespace'), usage, fields)
    Usage.add(Usage.of('agent:' .. caller.agent), usage, fields)
    table.insert(fields, 'agent:' .. caller.agent)
    Usage.add(Usage.of('project:' .. item.project), usage, fields)
    local sums = sum(Usage.of_item(item.id), usage)
    sums.model = usage.model
    return Usage.words(sums)
  end

  -- Subtracts what an item has used from the total of its project, because it is removed.
  function Usage.forget_item(id, project)
    local hash, used = Usage.of('project:' .. project), Usage.of_item(id)
    local total = math.max(unpack(used)) > 0 and redis.pcall('HGET', hash, 'total')
    if type(total) ~= 'string' then return end
    local left = Usage.numbers(total)
    for place in ipairs(Usage.FIELDS) do left[place] = math.max(0, left[place] - used[place]) end
    call('HSET', hash, 'total', Usage.text(left))
  end

  -- Budgets ------------------------------------------------------------------------------

  -- Returns the ms when a day ends.
  function Budget.day_ends() return (Usage.today() + 1) * DAY_MS end

  -- What an older version wrote in place of the kinds: any owner may have a budget.
  local ANY = '1'

  -- Keeps that owners of this kind have a budget. It is kept until the last budget of all is
  -- removed: a claim then asks for more than it needs.
  function Budget.note(owner)
    local kind, owners = string.match(owner, '^%l+'), Budget.owners
    if owners and (owners == ANY or string.find(owners, kind, 1, true)) then return end
    Budget.owners = owners and owners .. ' ' .. kind or kind
    call('HSET', meta, 'budgets', Budget.owners)
  end

  -- Returns the words of `Budget.read` if the limits of a period are reached, or nil. The field
  -- has what the owner has used in that period.
  local function over_limit(owner, period, field, limits)
    local cost, tokens = string.match(limits or '', '^(%S+) (%S+)$')
    if not cost then return nil end
    local sums = redis.pcall('HGET', Usage.of(owner), field)
    local used = Usage.numbers(type(sums) == 'string' and sums or '')
    local what, spent, limit = 'cost', used[4], tonumber(cost)
    if not limit or spent < limit then
      what, spent, limit = 'tokens', used[1] + used[2], tonumber(tokens)
    end
    if not limit or spent < limit then return nil end
    local ends = period == 'day' and string.format('%d', Budget.day_ends()) or ''
    return {owner, period, what, string.format('%d', spent), string.format('%d', limit), ends}
  end

  -- Returns the budget of an owner that is used up, as the words of an error: owner, period,
  -- 'cost' or 'tokens', what is used, the limit, and the ms when it may go on, or ''; or nil.
  -- The tokens of a budget are those that were not read from a cache.
  function Budget.read(owner)
    local limits = redis.pcall('HMGET', prefix .. 'budgets', owner .. ':day', owner .. ':total')
    if limits.err then return nil end
    return over_limit(owner, 'day', 'day:' .. Usage.today(), limits[1])
      or over_limit(owner, 'total', 'total', limits[2])
  end

  -- The same, read once a call; nil without a question to Redis if no owner of that kind may
  -- have a budget. The namespace has no name.
  function Budget.used_up(kind, name)
    local owners = Budget.owners
    local may_have = owners and (owners == ANY or string.find(owners, kind, 1, true))
    if not may_have then return nil end
    local owner = name and kind .. ':' .. name or kind
    Budget.known = Budget.known or {}
    if Budget.known[owner] == nil then Budget.known[owner] = Budget.read(owner) or false end
    return Budget.known[owner] or nil
  end

  -- Returns the budget that keeps an agent from claiming any item, or nil.
  function Budget.of_agent(agent)
    if not Budget.owners then return nil end
    return Budget.used_up('namespace') or Budget.used_up('agent', agent)
  end

  -- Returns the budget of a project that keeps its items from being claimed, or nil.
  function Budget.of_project(project) return Budget.used_up('project', project) end

  -- Returns the budget that keeps an item from being claimed, or nil.
  function Budget.of_item(item)
    return Budget.of_agent(item.agent) or Budget.of_project(item.project)
  end

  -- Refuses a claim by the caller.
  function Budget.refuse(item)
    local over = Budget.of_agent(caller.agent) or Budget.of_project(item.project)
    if not over then return end
    local owner, period, what, used, limit, ends = unpack(over)
    refuse('OVER_BUDGET', {owner = owner, period = period, what = what, used = used,
      limit = limit, ends = ends})
  end

  -- Removes the budgets of an owner that is removed.
  function Budget.forget(owner)
    if not Budget.owners then return end
    local budgets = prefix .. 'budgets'
    call('HDEL', budgets, owner .. ':day', owner .. ':total')
    if call('EXISTS', budgets) == 0 then call('HDEL', meta, 'budgets') end
  end

  -- Returns ms until a caller has to look again, as `claims_view` does: a budget that is used up
  -- by then may not be so on the next day.
  function Budget.sooner(due_ms, over)
    if not over or over[6] == '' then return due_ms end
    local left = Budget.day_ends() - now
    local due = tonumber(due_ms)
    if due_ms ~= '' and not (due and due > left) then return due_ms end
    return string.format('%d', left)
  end

  -- Notes that the caller waits for work that it may not claim: it is woken when a budget
  -- changes.
  function Budget.wait() call('ZADD', prefix .. 'budget_waiters', now, caller.agent) end
end
