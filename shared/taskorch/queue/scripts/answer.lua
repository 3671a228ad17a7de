-- answer: the orchestrator answers a question; the blocked item is in progress again,
--         under a full lease. If its holder left the question, the item is given back,
--         and the next agent that claims it gets the answer.
-- KEYS     meta
-- ARGV     7 item, 8 text
-- RETURNS  {item id, state, agent}
-- ERRORS   NO_ITEM WRONG_STATE
return once(function()
  local id, text = ARGV[7], ARGV[8]
  local item = need_item(id)
  local is_blocked = item.state == 'blocked'
  local asked_and_went_on = item.state == 'in_progress' and item.blocker ~= ''
  if not is_blocked and not asked_and_went_on then refuse_state(item, 'answer') end

  close_question(item)
  report(item, 'answer', 'text', text)
  if item.live_token == '' then
    give_back(item)
  elseif is_blocked then
    set_in_progress(item)
  end
  emit('answer', item)
  return {id, item.state, item.agent}
end)
