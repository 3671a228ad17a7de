-- clients: what the access token of a gateway's client still allows, and the line in
--          `audit_log` for each step of such a client.

do
  local DAY_MS, LINES_KEPT, SIGNALS_KEPT = 86400000, 100000, 1000
  -- Ids in a line, and words of a reply among which they are looked for.
  local MAX_IDS, MAX_WORDS = 10, 200
  local ENDED = {completed = true, cancelled = true}

  -- Refuses a call whose access token is gone or may not run the script. Only a gateway, which
  -- has checked the secret of the token, and a service or an administrator may name one.
  function Access.check()
    if caller.access_token == '' then return end
    if not user.may_do_all and not redis.acl_check_cmd('HGET', key('role', 'admin')) then
      Rights.refuse('only a gateway names an access token.')
    end
    local v = call('HMGET', key('access_token', caller.access_token), 'name', 'role',
      'expires_at', 'max_open_items', 'max_bytes', 'max_agents', 'day', 'bytes')
    local expires_at = tonumber(v[3])
    if not v[1] or expires_at and expires_at <= now then refuse('TOKEN_REFUSED', {url = ''}) end
    local today = math.floor(now / DAY_MS)
    caller.access = {name = v[1], role = v[2], max_open_items = tonumber(v[4]),
      max_bytes = tonumber(v[5]), max_agents = tonumber(v[6]), today = today,
      bytes = tonumber(v[7]) == today and tonumber(v[8]) or 0}
    for role in string.gmatch(user.needs_role_of, '%a+') do
      if role == v[2] then return end
    end
    Rights.refuse('its role is ' .. v[2] .. ', which may not run ' .. caller.script .. '.')
  end

  local function refuse_quota(what, used, most, free_at)
    refuse('QUOTA', {access_token = caller.access_token, what = what, used = used, most = most,
      free_at = free_at or ''})
  end

  -- Refuses a step with more bytes than the client may still write today.
  function Access.need_bytes()
    local access, bytes = caller.access, 0
    if not access then return end
    for i = 7, #arguments do bytes = bytes + #arguments[i] end
    access.new_bytes = bytes
    if access.max_bytes and access.bytes + bytes > access.max_bytes then
      refuse_quota('bytes', access.bytes, access.max_bytes,
        string.format('%d', (access.today + 1) * DAY_MS))
    end
  end

  -- Refuses to create more items than the client may have open.
  function Access.need_items(count)
    local most = caller.access and caller.access.max_open_items
    if not most or count == 0 then return end
    local open = call('SCARD', key('open_items', caller.access_token))
    if open + count > most then refuse_quota('open_items', open, most) end
  end

  -- Refuses items for more agents than the client may name. Returns those that it has not
  -- named before.
  function Access.need_agents(names)
    local new, is_known = {}, {}
    if not caller.access then return new end
    local named = key('access_token', caller.access_token) .. ':agents'
    for _, name in ipairs(names) do
      if not is_known[name] and call('SISMEMBER', named, name) == 0 then table.insert(new, name) end
      is_known[name] = true
    end
    local most, count = caller.access.max_agents, call('SCARD', named)
    if most and #new > 0 and count + #new > most then refuse_quota('agents', count, most) end
    return new
  end

  -- Keeps the agents that `need_agents` has returned.
  function Access.add_agents(new)
    if #new == 0 then return end
    call_in_chunks('SADD', key('access_token', caller.access_token) .. ':agents', new)
  end

  -- Counts an item of a client as open, or no longer, when its state changes; nil is that of
  -- an item that does not exist.
  function Access.count_item(item, before, after)
    if (item.access_token or '') == '' then return end
    local was_open, is_open = before and not ENDED[before], after and not ENDED[after]
    if was_open == is_open then return end
    call(is_open and 'SADD' or 'SREM', key('open_items', item.access_token), item.id)
  end

  -- Counts an item no longer whose fields are moved or removed.
  function Access.forget_item(id, fields)
    for i = 1, #fields, 2 do
      if fields[i] == 'access_token' then call('SREM', key('open_items', fields[i + 1]), id) end
    end
  end

  local function is_any_id(word)
    return type(word) == 'string' and #word <= 37
      and (string.find(word, '^item_[0-9a-z]+$') or string.find(word, '^proj_[0-9a-z]+$')
        or string.find(word, '^tok_[0-9a-z]+$')) ~= nil
  end

  -- Adds the ids among some words to those that were found, each once.
  local function add_ids(words, found)
    for _, word in ipairs(words) do
      found.looked_at = found.looked_at + 1
      if #found == MAX_IDS or found.looked_at > MAX_WORDS then return end
      if type(word) == 'table' then
        add_ids(word, found)
      elseif is_any_id(word) and not found[word] then
        found[word] = true
        table.insert(found, word)
      end
    end
  end

  local function write_line(outcome, reply)
    local access, found = caller.access, {looked_at = 0}
    add_ids({unpack(arguments, 7, 6 + MAX_WORDS)}, found)
    found.looked_at = 0
    add_ids({reply}, found)
    local log = prefix .. 'audit_log'
    local line = {'token', caller.access_token, 'name', access.name, 'role', access.role,
      'as', caller.agent, 'verb', caller.script, 'ids', table.concat(found, ' '),
      'outcome', outcome}
    local added = redis.pcall('XADD', log, 'MAXLEN', '~', LINES_KEPT, '*', unpack(line))
    -- A step that has acted must leave its line, even if another program has taken the key.
    if type(added) == 'table' and string.find(tostring(added.err), 'WRONGTYPE', 1, true) then
      call('DEL', log)
      call('XADD', log, '*', unpack(line))
    end
  end

  -- Writes the line of a step that has acted, and counts its bytes. A step without a reply
  -- has found nothing to do, and a repeat whose reply was found has counted them before.
  function Access.record(reply)
    local access = caller.access
    if not access or not access.new_bytes or not reply then return end
    call('HSET', key('access_token', caller.access_token), 'day', access.today,
      'bytes', string.format('%d', access.bytes + access.new_bytes))
    write_line('done', reply)
  end

  -- Writes the line of a step that the script has refused.
  function Access.record_refusal()
    if caller.access and caller.acts and refusal then
      write_line(string.match(refusal, '^%S+'))
    end
  end

  -- Tells all gateways what no event says: that an agent has got a wake token again, that what
  -- boards show of an owner has changed, or that an access token has.
  function Access.signal(kind, name)
    call('XADD', prefix .. 'signals', 'MAXLEN', '~', SIGNALS_KEPT, '*', 'kind', kind,
      'name', name)
  end
end
