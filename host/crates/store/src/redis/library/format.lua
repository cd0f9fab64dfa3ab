-- The marker of the store's layout, the layouts of the processes that use the store, and the search for keys of another
-- program in a place without a marker.

-- mark: replaces the marker if it is the first text, which is empty for none.
define('mark', { 'allow-oom' }, function(args)
  local key = MARKER .. args[1]
  if (redis.call('GET', key) or '') == args[OWN] then redis.call('SET', key, args[OWN + 1]) end
end)

-- search: examines some more keys. Returns the cursor for the next call, and a key with a name of this store's; empty if
-- there is none among them.
define('search', { 'no-writes' }, function(args)
  local c = begin(args)
  local scanned = call('SCAN', args[OWN], 'COUNT', args[OWN + 1])
  for _, key in ipairs(scanned[2]) do
    for _, name in ipairs({ c.tasks, FUNCTION .. c.tag .. ':', OWN_KEYS }) do
      if key:sub(1, #name) == name and key:find(c.tag, 1, true) then return { scanned[1], key } end
    end
  end
  return { scanned[1], '' }
end)

-- use: records that a process of a layout uses the store.
define('use', { 'allow-oom' }, function(args)
  local c = begin(args)
  call('ZADD', LAYOUTS .. c.tag, c.at, args[OWN])
end)

-- older: returns 1 if a process of an older layout has used the store in the last milliseconds, otherwise 0.
define('older', { 'no-writes' }, function(args)
  local c = begin(args)
  local since = text(c.now - tonumber(args[OWN + 1]))
  for _, layout in ipairs(call('ZRANGE', LAYOUTS .. c.tag, since, '+inf', 'BYSCORE')) do
    if tonumber(layout) < tonumber(args[OWN]) then return 1 end
  end
  return 0
end)
