-- note_refusals: writes the lines in `audit_log` about calls that a gateway has refused
--                before any script ran.
-- KEYS     meta
-- ARGV     7 access token or '', 8 its name or '', 9 its role or '', 10 verb or '', 11
--          word of the error, 12 address of the client, 13 number of such calls, then the
--          same for other lines
-- RETURNS  {number of lines}
-- ERRORS   none of its own
local FIRST, WORDS, LINES_KEPT = 7, 7, 100000
return once(function()
  for at = FIRST, #ARGV, WORDS do
    local token, name, role, verb, outcome, address, count = unpack(ARGV, at, at + WORDS - 1)
    call('XADD', prefix .. 'audit_log', 'MAXLEN', '~', LINES_KEPT, '*', 'token', token,
      'name', name, 'role', role, 'as', '', 'verb', verb, 'ids', '', 'outcome', outcome,
      'address', address, 'count', count)
  end
  return {(#ARGV - FIRST + 1) / WORDS}
end)
