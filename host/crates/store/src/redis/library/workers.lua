-- Announced dispatchers and their workers. For display; no decision depends on them.

define('announce', { 'allow-oom' }, function(args)
  local c = begin(args)
  local dispatcher, ttl, workers = args[OWN], tonumber(args[OWN + 1]), args[OWN + 2]
  local index, key = DISPATCHERS .. c.tag, DISPATCHER .. c.tag .. ':' .. dispatcher
  if workers == '' then
    call('ZREM', index, dispatcher)
    call('DEL', key)
    return 0
  end
  call('SET', key, workers, 'PX', ttl)
  call('ZADD', index, c.now + ttl, dispatcher)
  call('PEXPIRE', index, math.max(ttl, call('PTTL', index)))
  return 1
end)

define('workers', { 'allow-oom' }, function(args)
  local c = begin(args)
  local index, found = DISPATCHERS .. c.tag, {}
  local now = string.format('%d', c.now)
  call('ZREMRANGEBYSCORE', index, '-inf', now)
  for _, dispatcher in ipairs(call('ZRANGE', index, 0, -1)) do
    local workers = call('GET', DISPATCHER .. c.tag .. ':' .. dispatcher)
    if workers then found[#found + 1] = workers end
  end
  return found
end)

-- ping: proves that this library is loaded; returns the store's id, empty if it has none.
define('ping', { 'no-writes' }, function(args) return redis.call('GET', STORE .. args[1]) or '' end)

-- begin: gives the store an id if it has none, and returns its id.
define('begin', { 'allow-oom' }, function(args)
  local key = STORE .. args[1]
  redis.call('SET', key, args[OWN], 'NX')
  return redis.call('GET', key)
end)

define('now', { 'no-writes' }, function(args) return begin(args).at end)

-- permissions: returns those of the given commands that the calling user may not use on the store's keys and channels.
define('permissions', { 'no-writes' }, function(args)
  local key, channel, missing = args[OWN], args[OWN + 1], {}
  for at = OWN + 2, #args do
    local name, sub = args[at]:match('^([^|]+)|?(.*)$')
    local on = (name == 'publish' or name == 'subscribe') and channel or key
    local words = sub == '' and { name, on } or { name, sub, on }
    -- Redis 7.0 crashes if the number of keys is missing.
    if name == 'fcall' then words = { name, 'f', '1', key } end
    if not redis.acl_check_cmd(unpack(words)) then missing[#missing + 1] = args[at] end
  end
  return missing
end)
