-- Sizes: the bytes of an item: of its texts, its lists and its deliverables, as they are
--        stored.

local SIZED = {'title', 'description', 'requirements', 'context', 'resources',
  'deliverables_expected', 'criteria', 'checks', 'labels', 'deliverables'}
local item_bytes, refuse_over, refuse_growth

do
  local MAX_ITEM_BYTES = 1048576

  -- Returns the bytes of an item in a reply, about; and its dependencies as JSON or nil.
  function item_bytes(id)
    local shown = call('HMGET', key('item', id), 'depends_on', 'summary', 'questions',
      'returned', 'evidence', unpack(SIZED))
    local bytes = 0
    for _, value in ipairs(shown) do bytes = bytes + #(value or '') end
    return bytes, shown[1] or nil
  end

  function refuse_over(id, bytes)
    if bytes > MAX_ITEM_BYTES then
      refuse('TOO_LARGE', {item = id, bytes = bytes, most = MAX_ITEM_BYTES})
    end
  end

  -- Refuses a change that makes an item too large. `fields` has field, value … to write,
  -- `removed` the fields to delete. One that an older version left too large may shrink.
  function refuse_growth(id, fields, removed)
    local written = {}
    for i = 1, #fields, 2 do written[fields[i]] = fields[i + 1] end
    for _, field in ipairs(removed or {}) do written[field] = '' end
    local stored = call('HMGET', key('item', id), unpack(SIZED))
    local before, after = 0, 0
    for i, field in ipairs(SIZED) do
      local value = stored[i] or ''
      before = before + #value
      after = after + #(written[field] or value)
    end
    bytes_read = bytes_read + before
    if after > before then refuse_over(id, after) end
  end
end
