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

local function drafts_key(c, tenant, name) return DRAFTS .. c.tag .. ':' .. tenant .. ':' .. name end

-- Returns the id that a name resolves to: of its newest version that is ready, or else of its newest.
local function newest(c, tenant, name)
  return call('ZRANGE', versions_key(c, tenant, name), 0, 0, 'REV')[1]
    or call('ZRANGE', drafts_key(c, tenant, name), 0, 0, 'REV')[1]
end

-- Returns the bytes of a module that is in use: those of its pieces, or of an older module, which has none.
local function stored_of(c, module, module_bytes)
  return tonumber(call('HGET', tenant_key(c, MODULE, module), 'bytes') or module_bytes)
end

-- Removes a module or archive with the last version that uses it.
local function release(c, digest)
  local used = tenant_key(c, MODULE, digest)
  if call('HINCRBY', used, 'versions', -1) <= 0 then call('UNLINK', used) end
end

-- The names of this block are its own, since Lua allows 200 at a time.
do

-- Key of the pieces of a module that is being registered for a version.
local function staged_key(c, module, id) return tenant_key(c, MODULE, module) .. ':' .. id end
-- Time for which staged pieces are kept, in milliseconds: far longer than the rest of the registration takes.
local STAGED = 600000

-- stage: keeps a piece of a module until its version is registered. Not `allow-oom`, as `register`.
define('stage', {}, function(args)
  local c = begin(args)
  local key = staged_key(c, args[OWN], args[OWN + 1])
  call('HSET', key, 'p' .. args[OWN + 2], args[OWN + 3])
  call('PEXPIRE', key, STAGED)
end)

-- Stores a module: its only piece, or those that were staged.
local function put_module(used, staged, m)
  if m.pieces > 1 then
    call('RENAME', staged, used)
    call('PERSIST', used)
  else
    call('HSET', used, 'p0', m.piece)
  end
  call('HSET', used, 'versions', 1, 'pieces', m.pieces, 'bytes', m.bytes)
  if m.coding ~= '' then call('HSET', used, 'coding', m.coding) end
end

-- Stores an archive with the first version that uses it.
local function hold(c, digest, bytes)
  local used = tenant_key(c, MODULE, digest)
  if call('HINCRBY', used, 'versions', 1) == 1 then call('HSET', used, 'wasm', bytes) end
end

-- register: creates a new version, which is to be compiled if it comes with the time for which the caller holds that. A
-- module without pieces must be here. A runtime, which is the host's, does not count for the tenant. Not `allow-oom`,
-- since a module is large.
define('register', {}, function(args)
  local c = begin(args)
  local id, tenant, name, module, most = args[OWN], args[OWN + 1], args[OWN + 2], args[OWN + 3], tonumber(args[OWN + 6])
  local stored_most, module_bytes, hold_ms = tonumber(args[OWN + 9]), args[OWN + 15], args[OWN + 19]
  local setup, setup_bytes, files = args[OWN + 11], tonumber(args[OWN + 12]), args[OWN + 13]
  local m = { piece = args[OWN + 7], pieces = tonumber(args[OWN + 16]), bytes = tonumber(args[OWN + 17]), coding = args[OWN + 18] }
  local is_runtime = args[OWN + 20] == '1'
  local key = function_key(c, id)
  local known = call('HMGET', key, 'deleted_at', unpack(FUNCTION_RECORD))
  if known[2] then
    if known[2] == tenant then return { 'VERSION', { id, known } } end
    return { 'TAKEN' }
  end
  local counts, used, staged = VERSION_COUNTS .. c.tag, tenant_key(c, MODULE, module), staged_key(c, module, id)
  local function refuse(word)
    call('UNLINK', staged)
    return { word }
  end
  if is_gone(c, tenant, args[OWN + 10]) then return refuse('NO_TENANT') end
  if tonumber(call('HGET', counts, tenant) or 0) >= most then return refuse('FULL') end
  local is_used = call('EXISTS', used) == 1
  if m.pieces == 0 and not is_used then return refuse('NO_MODULE') end
  local counted = is_runtime and 0 or is_used and stored_of(c, module, module_bytes) or m.bytes
  local bytes = RECORD_BYTES + setup_bytes + counted
  if stored_bytes(c, tenant) + bytes > stored_most then return refuse('LARGE') end
  if m.pieces > 1 and not is_used and call('HLEN', staged) ~= m.pieces then return refuse('STAGED') end
  local numbers = tenant_key(c, NUMBERS, tenant)
  local version = (call('HGET', numbers, name) or call('HGET', numbers, FORMER) or 0) + 1
  if is_used then
    call('HINCRBY', used, 'versions', 1)
    call('UNLINK', staged)
  else
    put_module(used, staged, m)
  end
  if files ~= '' then hold(c, files, args[OWN + 14]) end
  call('HSET', numbers, name, version)
  call('HSET', key, 'name', name, 'tenant', tenant, 'version', version,
    'module', module, 'module_bytes', module_bytes, 'abi', args[OWN + 4], 'limits', args[OWN + 5],
    'created_at', c.now)
  if args[OWN + 8] ~= '' then call('HSET', key, 'grants', args[OWN + 8]) end
  if setup ~= '' then call('HSET', key, 'setup', setup, 'setup_bytes', setup_bytes, 'files', files) end
  if is_runtime then call('HSET', key, 'runtime', 1) end
  if hold_ms ~= '' then
    call('HSET', key, 'state', STATE_COMPILING, 'starts', 1)
    call('ZADD', drafts_key(c, tenant, name), version, id)
    call('ZADD', COMPILING .. c.tag, text(c.now + tonumber(hold_ms)), id)
  else
    call('ZADD', versions_key(c, tenant, name), version, id)
  end
  call('ZADD', tenant_key(c, NAMES, tenant), 0, name)
  call('HINCRBY', counts, tenant, 1)
  add_bytes(c, tenant, bytes)
  return { 'VERSION', find(c, tenant, id) }
end)

end

-- find: returns a version by id, or the one that a name resolves to.
define('find', { 'no-writes' }, function(args)
  local c = begin(args)
  local tenant, id = args[OWN], args[OWN + 1]
  if id == '' then id = newest(c, tenant, args[OWN + 2]) end
  return find(c, tenant, id)
end)

-- names: returns the version that each name resolves to, after a given name, sorted by name.
define('names', { 'no-writes' }, function(args)
  local c = begin(args)
  local tenant, found = args[OWN], {}
  local names = call('ZRANGE', tenant_key(c, NAMES, tenant), '(' .. args[OWN + 1], '+', 'BYLEX', 'LIMIT', 0,
    args[OWN + 2])
  for _, name in ipairs(names) do
    local version = find(c, tenant, newest(c, tenant, name))
    if version then found[#found + 1] = version end
  end
  return found
end)

-- versions: returns the versions of a name before a version number, newest first.
define('versions', { 'no-writes' }, function(args)
  local c = begin(args)
  local tenant, most, found, ids, numbers = args[OWN], tonumber(args[OWN + 3]), {}, {}, {}
  for _, key in ipairs({ versions_key(c, tenant, args[OWN + 1]), drafts_key(c, tenant, args[OWN + 1]) }) do
    local rows = call('ZRANGE', key, args[OWN + 2], '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, most, 'WITHSCORES')
    for at = 1, #rows, 2 do
      ids[#ids + 1] = rows[at]
      numbers[rows[at]] = tonumber(rows[at + 1])
    end
  end
  table.sort(ids, function(one, other) return numbers[one] > numbers[other] end)
  for at = 1, math.min(#ids, most) do
    local version = find(c, tenant, ids[at])
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
  local versions, drafts = versions_key(c, tenant, v[2]), drafts_key(c, tenant, v[2])
  call('HSET', function_key(c, id), 'deleted_at', c.at)
  call('ZADD', DELETED .. c.tag, c.at, id)
  if call('ZREM', versions, id) == 0 then
    call('ZREM', drafts, id)
    call('ZREM', COMPILING .. c.tag, id)
  end
  if call('EXISTS', versions, drafts) == 0 then forget_name(c, tenant, v[2]) end
  local counts = VERSION_COUNTS .. c.tag
  if call('HINCRBY', counts, tenant, -1) <= 0 then call('HDEL', counts, tenant) end
  return 1
end

-- delete: deletes a version by id, or versions of a name, those that are ready last and oldest first, so that the name
-- resolves to the newest until that is deleted too. Returns the number of deleted versions, and 1 if there may be more, otherwise 0.
define('delete', { 'allow-oom' }, function(args)
  local c = begin(args)
  local tenant, most = args[OWN], tonumber(args[OWN + 3])
  if args[OWN + 1] ~= '' then return { delete_one(c, tenant, args[OWN + 1]), 0 } end
  local ids = call('ZRANGE', drafts_key(c, tenant, args[OWN + 2]), 0, most - 1)
  if #ids == 0 then ids = call('ZRANGE', versions_key(c, tenant, args[OWN + 2]), 0, most - 1) end
  local deleted = 0
  for _, id in ipairs(ids) do deleted = deleted + delete_one(c, tenant, id) end
  return { deleted, deleted > 0 and newest(c, tenant, args[OWN + 2]) and 1 or 0 }
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

-- Removes a deleted version, and its module and files with the last version that uses them. A failed one has no module any
-- more.
local function remove_version(c, id)
  local v = call('HMGET', function_key(c, id), 'tenant', 'module', 'module_bytes', 'deleted_at', 'setup_bytes', 'files',
    'failure', 'runtime')
  call('ZREM', DELETED .. c.tag, id)
  if not v[4] then return end
  call('UNLINK', function_key(c, id))
  local module_bytes = (v[7] or v[8]) and 0 or stored_of(c, v[2], v[3])
  add_bytes(c, v[1], -(RECORD_BYTES + module_bytes + tonumber(v[5] or 0)))
  if not v[7] then release(c, v[2]) end
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

-- take_compiles: holds the compilations that nobody holds for a time, and returns the versions, each with its id and the
-- number of those who have held it.
define('take_compiles', { 'allow-oom' }, function(args)
  local c = begin(args)
  local taken, all = {}, COMPILING .. c.tag
  for _, id in ipairs(call('ZRANGE', all, '-inf', c.at, 'BYSCORE', 'LIMIT', 0, args[OWN])) do
    local tenant = call('HGET', function_key(c, id), 'tenant')
    local version = tenant and find(c, tenant, id)
    if version then
      call('ZADD', all, text(c.now + tonumber(args[OWN + 1])), id)
      taken[#taken + 1] = { id, version[2], call('HINCRBY', function_key(c, id), 'starts', 1) }
    else
      call('ZREM', all, id)
    end
  end
  return taken
end)

-- hold_compile: holds a compilation for a time from now on. Returns 0 if it has ended, otherwise 1.
define('hold_compile', { 'allow-oom' }, function(args)
  local c = begin(args)
  local all, id = COMPILING .. c.tag, args[OWN]
  if not call('ZSCORE', all, id) then return 0 end
  call('ZADD', all, text(c.now + tonumber(args[OWN + 1])), id)
  return 1
end)

-- settle: ends a compilation, with a failure unless that is empty. Returns the version; nothing if it is deleted.
define('settle', { 'allow-oom' }, function(args)
  local c = begin(args)
  local id, failure = args[OWN], args[OWN + 1]
  local key = function_key(c, id)
  local v = call('HMGET', key, 'tenant', 'name', 'version', 'module', 'module_bytes', 'state', 'deleted_at')
  if not v[1] or v[7] then return false end
  if v[6] == STATE_COMPILING then
    call('ZREM', COMPILING .. c.tag, id)
    if failure == '' then
      call('HDEL', key, 'state', 'starts')
      call('ZREM', drafts_key(c, v[1], v[2]), id)
      call('ZADD', versions_key(c, v[1], v[2]), v[3], id)
    else
      call('HSET', key, 'state', 'failed', 'failure', failure)
      add_bytes(c, v[1], -stored_of(c, v[4], v[5]))
      release(c, v[4])
    end
  end
  return find(c, v[1], id)
end)
