-- blocker: the holder cannot go on without an answer, and asks. It keeps its token, and
--          the lease stops. A repeated question keeps its number.
-- KEYS     meta
-- ARGV     7 item, 8 token or '', 9 text, 10 needs, then field, value … of its origin
-- RETURNS  receipt, with the number of the question; the remark is 'repeat' if it was
--          open already
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE TOO_MANY
--          OVER_BUDGET
local MAX_OPEN_QUESTIONS, MAX_QUESTION_BYTES = 10, 262144

-- Returns the open question with this text, unless it needs something else. What it
-- needs may be stated only once.
local function find_same(questions, text, needs)
  for _, question in ipairs(questions) do
    local may_be_same = needs == '' or question.needs == '' or question.needs == needs
    if question.text == text and may_be_same then return question end
  end
end

-- Refuses a question if the open ones would have too many bytes with it. `same` is the
-- one whose place it takes, if there is one.
local function refuse_too_long(item, questions, same, text, needs)
  if same and same.needs == needs then return end
  local bytes = #text + #needs
  for _, question in ipairs(questions) do
    if question ~= same then bytes = bytes + #question.text + #question.needs end
  end
  if bytes > MAX_QUESTION_BYTES then
    refuse('TOO_MANY', {item = item.id, what = 'bytes of open questions',
      most = MAX_QUESTION_BYTES})
  end
end

return once(function()
  local id, token, text, needs = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
  local item = Lease.check_holder(need_item(id), token, 'blocker', true)
  Lease.refuse_over_budget(item, ARGV[11])
  local questions = Question.read(item)
  local same = find_same(questions, text, needs)
  if not same and #questions >= MAX_OPEN_QUESTIONS then
    refuse('TOO_MANY', {item = id, what = 'open questions', most = MAX_OPEN_QUESTIONS})
  end
  refuse_too_long(item, questions, same, text, needs)

  Lease.claim_if_queued(item)
  Lease.count_late_return(item)
  if item.state ~= 'blocked' then move(item, 'blocked', now) end
  Question.adopt(item)
  item.question = same and same.number or string.format('%d', item.asked + 1)
  if not same then
    table.insert(questions, {number = item.question, text = text, needs = needs,
      agent = caller.agent, at = string.format('%d', now)})
  elseif needs ~= '' then
    same.needs = needs
  end
  Question.write(item, questions)
  report(item, 'blocker', 'text', text, 'needs', needs, 'question', item.question,
    unpack(ARGV, 11))
  emit('blocker', item)
  return Lease.receipt(item, same and 'repeat')
end, View.with_comments)
