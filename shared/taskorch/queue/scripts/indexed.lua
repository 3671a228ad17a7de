-- indexed: the items of one index, the oldest first; a page of them.
-- KEYS     meta
-- ARGV     7 index: 'unassigned', 'leases', 'blocked', 'reviews', 'delayed' or 'dead', 8 number of
--          items to skip, 9 maximum number
-- RETURNS  {number to skip next time, or '' at the end, {item view …}}
-- ERRORS   none of its own
return guarded(function()
  local index, from, limit = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
  local page = call('ZRANGE', prefix .. index, from, from + limit - 1)
  local views, looked_at = View.items(page)
  local has_more = #page == limit or looked_at < #page
  return {has_more and tostring(from + looked_at) or '', views}
end)
