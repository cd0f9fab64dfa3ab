-- Function versions: register, find, list, delete. A deleted version looks absent, but its record, and with it the
-- module, is kept for longer than any task accepted before can live.

-- Score in its module's index of a version that is not deleted.
local LIVE = 'inf'

-- Returns a version of this tenant; false if it does not exist or is deleted.
local function find(c, tenant, id)
  if not id then return false end
  local record = call('HMGET', function_key(c, id), 'deleted_at', unpack(FUNCTION_RECORD))
  if record[1] or record[2] ~= tenant then return false end
  return { id, record }
end

-- register: creates a new version. Not `allow-oom`, since a module is large.
define('register', {}, function(args)
  local c = begin(args)
  local id, tenant, name, module, most = args[OWN], args[OWN + 1], args[OWN + 2], args[OWN + 3], tonumber(args[OWN + 6])
  local wasm, bytes_most = args[OWN + 7], tonumber(args[OWN + 9])
  local key = function_key(c, id)
  local known = call('HMGET', key, 'deleted_at', unpack(FUNCTION_RECORD))
  if known[2] then
    if known[2] == tenant then return { 'VERSION', { id, known } } end
    return { 'TAKEN' }
  end
  local counts = VERSION_COUNTS .. c.tag
  if tonumber(call('HGET', counts, tenant) or 0) >= most then return { 'FULL' } end
  local bytes = MODULE_BYTES .. c.tag
  if tonumber(call('HGET', bytes, tenant) or 0) + #wasm > bytes_most then return { 'LARGE' } end
  local version = call('HINCRBY', tenant_key(c, NUMBERS, tenant), name, 1)
  call('HSET', key, 'name', name, 'payload', wasm, 'tenant', tenant, 'version', version,
    'module', module, 'module_bytes', #wasm, 'abi', args[OWN + 4], 'limits', args[OWN + 5],
    'created_at', c.now)
  if args[OWN + 8] ~= '' then call('HSET', key, 'grants', args[OWN + 8]) end
  call('ZADD', versions_key(c, tenant, name), version, id)
  call('ZADD', tenant_key(c, NAMES, tenant), 0, name)
  call('HINCRBY', counts, tenant, 1)
  call('HINCRBY', bytes, tenant, #wasm)
  local index = tenant_key(c, MODULE, module)
  call('ZREMRANGEBYSCORE', index, '-inf', string.format('%.0f', c.now))
  call('ZADD', index, LIVE, id)
  call('PERSIST', index)
  return { 'VERSION', find(c, tenant, id) }
end)

-- find: returns a version by id, or the newest one of a name.
define('find', { 'no-writes' }, function(args)
  local c = begin(args)
  local tenant, id = args[OWN], args[OWN + 1]
  if id == '' then id = call('ZRANGE', versions_key(c, tenant, args[OWN + 2]), 0, 0, 'REV')[1] end
  return find(c, tenant, id)
end)

-- names: returns the newest version of each name after a given name, sorted by name.
define('names', { 'no-writes' }, function(args)
  local c = begin(args)
  local tenant, found = args[OWN], {}
  local names = call('ZRANGE', tenant_key(c, NAMES, tenant), '(' .. args[OWN + 1], '+', 'BYLEX', 'LIMIT', 0,
    args[OWN + 2])
  for _, name in ipairs(names) do
    local version = find(c, tenant, call('ZRANGE', versions_key(c, tenant, name), 0, 0, 'REV')[1])
    if version then found[#found + 1] = version end
  end
  return found
end)

-- versions: returns the versions of a name before a version number, newest first.
define('versions', { 'no-writes' }, function(args)
  local c = begin(args)
  local tenant, found = args[OWN], {}
  local ids = call('ZRANGE', versions_key(c, tenant, args[OWN + 1]), args[OWN + 2], '-inf', 'BYSCORE', 'REV', 'LIMIT', 0,
    args[OWN + 3])
  for _, id in ipairs(ids) do
    local version = find(c, tenant, id)
    if version then found[#found + 1] = version end
  end
  return found
end)

local function delete_one(c, tenant, id, kept_ms)
  local v = call('HMGET', function_key(c, id), 'tenant', 'name', 'module', 'deleted_at', 'module_bytes')
  if v[1] ~= tenant or v[4] then return 0 end
  local versions, index = versions_key(c, tenant, v[2]), tenant_key(c, MODULE, v[3])
  call('HSET', function_key(c, id), 'deleted_at', c.now)
  call('PEXPIRE', function_key(c, id), kept_ms)
  call('ZREM', versions, id)
  if call('ZCARD', versions) == 0 then call('ZREM', tenant_key(c, NAMES, tenant), v[2]) end
  if call('HINCRBY', VERSION_COUNTS .. c.tag, tenant, -1) <= 0 then
    call('HDEL', VERSION_COUNTS .. c.tag, tenant)
  end
  -- Versions registered before this was counted would make it negative.
  if call('HINCRBY', MODULE_BYTES .. c.tag, tenant, -tonumber(v[5] or 0)) <= 0 then
    call('HDEL', MODULE_BYTES .. c.tag, tenant)
  end
  call('ZADD', index, c.now + kept_ms, id)
  if call('ZCOUNT', index, LIVE, LIVE) == 0 then call('PEXPIRE', index, kept_ms) end
  return 1
end

-- delete: deletes a version by id, or versions of a name, oldest first, so that the name resolves to the newest until
-- that is deleted too. Returns the number of deleted versions, and 1 if there may be more, otherwise 0.
define('delete', { 'allow-oom' }, function(args)
  local c = begin(args)
  local tenant, kept_ms, most = args[OWN], tonumber(args[OWN + 3]), tonumber(args[OWN + 4])
  if args[OWN + 1] ~= '' then return { delete_one(c, tenant, args[OWN + 1], kept_ms), 0 } end
  local ids = call('ZRANGE', versions_key(c, tenant, args[OWN + 2]), 0, most - 1)
  local deleted = 0
  for _, id in ipairs(ids) do deleted = deleted + delete_one(c, tenant, id, kept_ms) end
  return { deleted, #ids >= most and 1 or 0 }
end)
