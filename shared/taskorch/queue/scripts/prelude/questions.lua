-- Questions: what holders ask the orchestrator. A question of an item stays open in
-- every state until it is answered or withdrawn, or the item is completed or cancelled.
-- Each has a number; the first question of an item is 1. Fields of the item's hash:
--   asked            the number of the newest question
--   open_questions   the numbers of the open ones, such as '1 3'
--   questions        the open ones, as a JSON list of {number, text, needs, agent, at}
--   blocker, needs   the only open question of an item that an older version wrote; its
--                    number is `asked` + 1
-- Until the end of a verb, `item.open` has the numbers of the open ones.

-- Its functions are in a table: Lua allows a script 200 local variables.
local Question = {
  -- Bytes of a question that a refusal shows.
  MAX_SHOWN = 200,
}

-- Returns the numbers of the open questions of an item.
function Question.numbers(listed, asked, blocker)
  local open = {}
  for number in string.gmatch(listed, '%d+') do table.insert(open, number) end
  if blocker ~= '' then table.insert(open, string.format('%d', asked + 1)) end
  return open
end

-- The characters of UTF-8 that have more than one byte, as patterns.
Question.CHARACTERS = {
  '[\194-\223][\128-\191]', '\224[\160-\191][\128-\191]',
  '[\225-\236\238\239][\128-\191][\128-\191]', '\237[\128-\159][\128-\191]',
  '\240[\144-\191][\128-\191][\128-\191]', '[\241-\243][\128-\191][\128-\191][\128-\191]',
  '\244[\128-\143][\128-\191][\128-\191]',
}

-- Returns a text for JSON: one that is not UTF-8 has ? in place of its odd bytes.
function Question.as_utf8(text)
  local rest = text
  for _, character in ipairs(Question.CHARACTERS) do rest = string.gsub(rest, character, ' ') end
  if not string.find(rest, '[\128-\255]') then return text end
  return (string.gsub(text, '[\128-\255]', '?'))
end

-- Returns the open questions of an item, the oldest first, for `Question.write`.
function Question.read(item)
  local json, needs = unpack(call('HMGET', key('item', item.id), 'questions', 'needs'))
  local ok, stored = pcall(cjson.decode, json or '[]')
  local questions = {}
  for _, question in ipairs(ok and type(stored) == 'table' and stored or {}) do
    if type(question) == 'table' and type(question.number) == 'string' then
      table.insert(questions, question)
    end
  end
  if item.blocker ~= '' then
    local since = call('ZSCORE', prefix .. 'blocked', item.id) or now
    table.insert(questions, {number = string.format('%d', item.asked + 1),
      text = Question.as_utf8(item.blocker), needs = Question.as_utf8(needs or ''),
      agent = item.agent, at = string.format('%d', tonumber(since))})
  end
  return questions
end

-- Returns the indexes of items with an open question: of all, and of a project.
function Question.indexes(item)
  return prefix .. 'questions', key('questions', item.project)
end

-- Lists the item in the indexes, by the time of its oldest open question.
function Question.list(item, questions)
  local all, of_project = Question.indexes(item)
  put(all, item.id, questions[1].at)
  put(of_project, item.id, questions[1].at)
end

function Question.drop(item)
  local all, of_project = Question.indexes(item)
  drop(all, item.id)
  drop(of_project, item.id)
  call('HDEL', key('item', item.id), 'questions', 'open_questions', 'blocker', 'needs')
end

function Question.write(item, questions)
  item.open = {}
  for i, question in ipairs(questions) do item.open[i] = question.number end
  if item.blocker ~= '' then item.asked = item.asked + 1 end
  item.asked = math.max(item.asked, tonumber(item.open[#item.open] or 0))
  call('HSET', key('item', item.id), 'asked', item.asked)
  if #questions == 0 then
    Question.drop(item)
  else
    call('HSET', key('item', item.id), 'open_questions', table.concat(item.open, ' '),
      'questions', cjson.encode(questions))
    if item.blocker ~= '' then call('HDEL', key('item', item.id), 'blocker', 'needs') end
    Question.list(item, questions)
  end
  item.blocker = ''
end

-- Writes the open question of an older version as this one does.
function Question.adopt(item)
  if item.blocker ~= '' then Question.write(item, Question.read(item)) end
end

-- The item is over: no agent needs an answer any more.
function Question.close_all(item)
  item.closed = item.open
  if #item.open > 0 then Question.write(item, {}) end
end

-- Adds the questions that an item's end has closed to a list of `{item, numbers}`.
function Question.list_closed(item, list)
  if #item.closed > 0 then table.insert(list, {item.id, table.concat(item.closed, ' ')}) end
end

-- Returns the beginning of a text; it does not end inside of a character.
function Question.start_of(text)
  if #text <= Question.MAX_SHOWN then return text end
  return (string.gsub(string.sub(text, 1, Question.MAX_SHOWN), '[\192-\255][\128-\191]*$', '')) .. '…'
end

function Question.refuse_none(item, wanted, verb)
  refuse('NO_QUESTION', {item = item.id, state = item.state, verb = verb, question = wanted,
    open = table.concat(item.open, ', ')})
end

-- Returns the place of the question with the `wanted` number, or of the only one.
function Question.find(item, questions, wanted, verb)
  for place, question in ipairs(questions) do
    if wanted == question.number then return place end
  end
  if wanted == '' and #questions == 1 then return 1 end
  local shown = {}
  for i, question in ipairs(questions) do
    shown[i] = {number = question.number, text = Question.start_of(tostring(question.text))}
  end
  if wanted == '' and #questions > 1 then
    refuse('SEVERAL_QUESTIONS', {item = item.id, verb = verb, questions = shown})
  end
  Question.refuse_none(item, wanted, verb)
end

-- Removes a question. Returns its number.
function Question.close(item, questions, place)
  local question = table.remove(questions, place)
  Question.write(item, questions)
  return question.number
end
