-- withdraw: the holder needs no answer to a question any more. With its last open
--           question, a blocked item is in progress again.
-- KEYS     meta
-- ARGV     7 item, 8 token, 9 number of the question, or '' for the only open one
-- RETURNS  receipt, with the number of the question
-- ERRORS   NO_ITEM NOT_YOURS CANCELLED LEASE_LOST HELD WRONG_STATE NO_QUESTION
--          SEVERAL_QUESTIONS
return once(function()
  local id, token, wanted = ARGV[7], ARGV[8], ARGV[9]
  local item = Lease.check_holder(need_item(id), token, 'withdraw')
  local questions = Question.read(item)
  local place = Question.find(item, questions, wanted, 'withdraw')

  seen()
  item.question = Question.close(item, questions, place)
  if item.state ~= 'blocked' or #questions == 0 then Lease.set_in_progress(item) end
  report(item, 'withdraw', 'question', item.question)
  emit('withdraw', item)
  return Lease.receipt(item)
end, View.with_comments)
