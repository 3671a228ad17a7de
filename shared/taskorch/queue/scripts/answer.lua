-- answer: the orchestrator answers a question. With its last open question, a blocked
--         item is in progress again, under a full lease; if its holder has left it, it
--         is given back, and the next agent that claims it gets the answers.
-- KEYS     meta
-- ARGV     7 item, 8 text, 9 number of the question, or '' for the only open one
-- RETURNS  {item id, state, agent, number of the question, numbers of those still open}
-- ERRORS   NO_ITEM NO_QUESTION SEVERAL_QUESTIONS
return once(function()
  local id, text, wanted = ARGV[7], ARGV[8], ARGV[9]
  local item = need_item(id)
  local questions = Question.read(item)
  local place = Question.find(item, questions, wanted, 'answer')

  item.answered_ms = now - (tonumber(questions[place].at) or now)
  local number = Question.close(item, questions, place)
  report(item, 'answer', 'text', text, 'question', number)
  local ends_block = item.state == 'blocked' and #questions == 0
  if ends_block then
    if item.live_token == '' then
      Lease.give_back(item)
    else
      Lease.set_in_progress(item)
    end
  end
  local since = changed_at(id)
  local event = emit('answer', item)
  if not ends_block then keep_since(item, event, since) end
  return {id, item.state, item.agent, number, table.concat(item.open, ' ')}
end)
