-- Function versions and their modules: register, find, list, delete, collect. A deleted version looks absent, but its
-- record, and with it the module, is kept and counted until no task needs it. A module exists once, however many
-- versions use it.

-- Field of a tenant's numbers with the highest one of all names that it no longer has. No name is empty.
local FORMER = ''

-- Returns a version of this tenant; false if it does not exist or is deleted.
local function find(c, tenant, id)
  if not id then return false end
  local record = call('HMGET', function_key(c, id), 'deleted_at', unpack(FUNCTION_RECORD))
  if record[1] or record[2] ~= tenant then return false end
  return { id, record }
end

-- Returns true if the digest of a name is among those of deleted tenants.
local function is_buried(c, digest)
  local all, from = call('GET', TOMBSTONES .. c.tag) or '', 1
  while true do
    local at = all:find(digest, from, true)
    if not at or at % #digest == 1 then return at ~= nil end
    from = at + 1
  end
end

-- Returns true if a tenant is being deleted or was deleted.
local function is_gone(c, tenant, digest)
  local record = call('HGET', ACCOUNTS .. c.tag, tenant)
  if record then return cjson.decode(record).deleted_at ~= nil end
  return is_buried(c, digest)
end

-- Stores a module or archive with the first version that uses it.
local function hold(c, digest, bytes)
  local used = tenant_key(c, MODULE, digest)
  if call('HINCRBY', used, 'versions', 1) == 1 then call('HSET', used, 'wasm', bytes) end
end

-- Removes a module or archive with the last version that uses it.
local function release(c, digest)
  local used = tenant_key(c, MODULE, digest)
  if call('HINCRBY', used, 'versions', -1) <= 0 then call('UNLINK', used) end
end

-- register: creates a new version. Not `allow-oom`, since a module is large.
define('register', {}, function(args)
  local c = begin(args)
  local id, tenant, name, module, most = args[OWN], args[OWN + 1], args[OWN + 2], args[OWN + 3], tonumber(args[OWN + 6])
  local wasm, stored_most = args[OWN + 7], tonumber(args[OWN + 9])
  local setup, setup_bytes, files = args[OWN + 11], tonumber(args[OWN + 12]), args[OWN + 13]
  local key = function_key(c, id)
  local known = call('HMGET', key, 'deleted_at', unpack(FUNCTION_RECORD))
  if known[2] then
    if known[2] == tenant then return { 'VERSION', { id, known } } end
    return { 'TAKEN' }
  end
  if is_gone(c, tenant, args[OWN + 10]) then return { 'NO_TENANT' } end
  local counts = VERSION_COUNTS .. c.tag
  if tonumber(call('HGET', counts, tenant) or 0) >= most then return { 'FULL' } end
  local bytes = RECORD_BYTES + #wasm + setup_bytes
  if stored_bytes(c, tenant) + bytes > stored_most then return { 'LARGE' } end
  local numbers = tenant_key(c, NUMBERS, tenant)
  local version = (call('HGET', numbers, name) or call('HGET', numbers, FORMER) or 0) + 1
  hold(c, module, wasm)
  if files ~= '' then hold(c, files, args[OWN + 14]) end
  call('HSET', numbers, name, version)
  call('HSET', key, 'name', name, 'tenant', tenant, 'version', version,
    'module', module, 'module_bytes', #wasm, 'abi', args[OWN + 4], 'limits', args[OWN + 5],
    'created_at', c.now)
  if args[OWN + 8] ~= '' then call('HSET', key, 'grants', args[OWN + 8]) end
  if setup ~= '' then call('HSET', key, 'setup', setup, 'setup_bytes', setup_bytes, 'files', files) end
  call('ZADD', versions_key(c, tenant, name), version, id)
  call('ZADD', tenant_key(c, NAMES, tenant), 0, name)
  call('HINCRBY', counts, tenant, 1)
  add_bytes(c, tenant, bytes)
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

-- Forgets a name without versions. The next name continues after its numbers, so that none is ever used again.
local function forget_name(c, tenant, name)
  local numbers = tenant_key(c, NUMBERS, tenant)
  local known = call('HMGET', numbers, name, FORMER)
  call('HSET', numbers, FORMER, math.max(tonumber(known[1] or 0), tonumber(known[2] or 0)))
  call('HDEL', numbers, name)
  call('ZREM', tenant_key(c, NAMES, tenant), name)
end

local function delete_one(c, tenant, id)
  local v = call('HMGET', function_key(c, id), 'tenant', 'name', 'deleted_at')
  if v[1] ~= tenant or v[3] then return 0 end
  local versions = versions_key(c, tenant, v[2])
  call('HSET', function_key(c, id), 'deleted_at', c.at)
  call('ZADD', DELETED .. c.tag, c.at, id)
  call('ZREM', versions, id)
  if call('ZCARD', versions) == 0 then forget_name(c, tenant, v[2]) end
  local counts = VERSION_COUNTS .. c.tag
  if call('HINCRBY', counts, tenant, -1) <= 0 then call('HDEL', counts, tenant) end
  return 1
end

-- delete: deletes a version by id, or versions of a name, oldest first, so that the name resolves to the newest until
-- that is deleted too. Returns the number of deleted versions, and 1 if there may be more, otherwise 0.
define('delete', { 'allow-oom' }, function(args)
  local c = begin(args)
  local tenant, most = args[OWN], tonumber(args[OWN + 3])
  if args[OWN + 1] ~= '' then return { delete_one(c, tenant, args[OWN + 1]), 0 } end
  local ids = call('ZRANGE', versions_key(c, tenant, args[OWN + 2]), 0, most - 1)
  local deleted = 0
  for _, id in ipairs(ids) do deleted = deleted + delete_one(c, tenant, id) end
  return { deleted, #ids >= most and 1 or 0 }
end)

-- deleted: returns versions that were deleted by a time ago, each with its tenant, those not examined for longest first.
define('deleted', { 'no-writes' }, function(args)
  local c = begin(args)
  local until_then, found = text(c.now - tonumber(args[OWN])), {}
  local ids = call('ZRANGE', DELETED .. c.tag, '-inf', until_then, 'BYSCORE', 'LIMIT', 0, args[OWN + 1])
  for _, id in ipairs(ids) do found[#found + 1] = { id, call('HGET', function_key(c, id), 'tenant') or '' } end
  return found
end)

-- needed: returns 1 for each version, given as its tenant and its word in records, that an unfinished task of this
-- partition needs, otherwise 0; and drops counts of 0.
define('needed', { 'allow-oom' }, function(args)
  local c = begin(args)
  local answers = {}
  for at = OWN, #args, 2 do
    local counters = tenant_key(c, COUNTERS, args[at])
    local needs = tonumber(call('HGET', counters, args[at + 1]) or 0)
    if needs <= 0 then call('HDEL', counters, args[at + 1]) end
    answers[#answers + 1] = needs > 0 and 1 or 0
  end
  return answers
end)

-- Removes a deleted version, and its module and files with the last version that uses them.
local function remove_version(c, id)
  local v = call('HMGET', function_key(c, id), 'tenant', 'module', 'module_bytes', 'deleted_at', 'setup_bytes', 'files')
  call('ZREM', DELETED .. c.tag, id)
  if not v[4] then return end
  call('UNLINK', function_key(c, id))
  add_bytes(c, v[1], -(RECORD_BYTES + tonumber(v[3]) + tonumber(v[5] or 0)))
  release(c, v[2])
  if v[6] and v[6] ~= '' then release(c, v[6]) end
end

-- collect: removes the versions with a 0, which no task needs; those with a 1 are examined again after the others.
define('collect', { 'allow-oom' }, function(args)
  local c = begin(args)
  local again = text(c.now - tonumber(args[OWN]))
  for at = OWN + 1, #args, 2 do
    if args[at + 1] == '0' then
      remove_version(c, args[at])
    else
      call('ZADD', DELETED .. c.tag, 'XX', again, args[at])
    end
  end
end)
