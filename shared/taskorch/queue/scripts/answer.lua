-- answer: the orchestrator answers a blocker; a blocked item is in progress again, under a full lease. One that its
--         holder has left is given back, and who claims it next has the answer.
-- KEYS     meta
-- ARGV     7 item, 8 text
-- RETURNS  {item id, state, agent}
-- ERRORS   NO_ITEM WRONG_STATE
return once(function()
  local id, text = ARGV[7], ARGV[8]
  local item = load(id)
  if item.state ~= 'blocked' and not (item.state == 'in_progress' and item.blocker ~= '') then wrong_state(item, 'answer') end

  close_question(item)
  report(item, 'answer', 'text', text)
  if item.live_token == '' then give_back(item) elseif item.state == 'blocked' then run(item) end
  emit('answer', item)
  return {id, item.state, item.agent}
end)
