-- Tenants and API keys. A tenant's record is JSON written by the host, whose fields this library mostly ignores; a
-- key's record is a hash. All of them are in one place.

local KEY_RECORD = { 'tenant', 'scope', 'name', 'digest', 'created_at', 'expires_at', 'revoked_at' }

-- Latest time at which a key ends: Lua's numbers are exact up to here.
local FAR = 2 ^ 53

local function api_key(c, id) return API_KEY .. c.tag .. ':' .. id end

local function tell(c) redis.call('PUBLISH', IDENTITY_CHANNEL .. c.channels, '') end

-- Returns true if a tenant exists and is not being deleted.
local function is_tenant(c, tenant)
  local record = redis.call('HGET', ACCOUNTS .. c.tag, tenant)
  if not record then return tenant == DEFAULT_TENANT end
  return not cjson.decode(record).deleted_at
end

-- Returns the time since which a key is invalid; nil if it is valid.
local function ended_at(c, id)
  local v = redis.call('HMGET', api_key(c, id), 'expires_at', 'revoked_at')
  local ended
  for _, at in ipairs({ v[1] or '', v[2] or '' }) do
    at = tonumber(at)
    if at and at <= c.now and (not ended or at < ended) then ended = at end
  end
  return ended
end

-- Returns true if an authority covers a tenant's records. Records of the host itself belong to the default tenant. An
-- authority is a key's id, `keyless`, which is valid while there has never been a key, or `store` for direct access to
-- the store.
local function reaches(c, by, tenant)
  if by == 'store' then return true end
  if by == 'keyless' then return redis.call('EXISTS', KEYED .. c.tag) == 0 end
  local key = redis.call('HMGET', api_key(c, by), 'tenant', 'scope')
  local is_near = key[1] == tenant or key[1] == DEFAULT_TENANT
  return is_near and key[2] == 'admin' and not ended_at(c, by)
end

-- Returns the tenant's key that ended first; nil if none has ended.
local function first_ended(c, ids)
  local first, since
  for _, id in ipairs(redis.call('SMEMBERS', ids)) do
    local ended = ended_at(c, id)
    if ended and (not since or ended < since) then first, since = id, ended end
  end
  return first
end

local function read_key(c, id)
  local record = redis.call('HMGET', api_key(c, id), unpack(KEY_RECORD))
  return record[1] and { id, record } or nil
end

define('add_tenant', { 'allow-oom' }, function(args)
  local c = begin(args)
  local by, tenant, most = args[OWN], args[OWN + 1], tonumber(args[OWN + 2])
  local accounts = ACCOUNTS .. c.tag
  if not reaches(c, by, DEFAULT_TENANT) then return { 'DENIED' } end
  if tenant == DEFAULT_TENANT or redis.call('HEXISTS', accounts, tenant) == 1 or is_buried(c, args[OWN + 3]) then
    return { 'TAKEN' }
  end
  if redis.call('HLEN', accounts) >= most then return { 'FULL' } end
  -- A name has no character that JSON would escape.
  local record = '{"id":"' .. tenant .. '","created_at":' .. c.at .. '}'
  redis.call('HSET', accounts, tenant, record)
  tell(c)
  return { 'ADDED', record }
end)

-- change_tenant: replaces a record if it is still the one that was read; an empty record changes nothing.
define('change_tenant', { 'allow-oom' }, function(args)
  local c = begin(args)
  local by, tenant, read, record = args[OWN], args[OWN + 1], args[OWN + 2], args[OWN + 3]
  local accounts = ACCOUNTS .. c.tag
  if not reaches(c, by, DEFAULT_TENANT) then return { 'DENIED' } end
  if record == '' or (redis.call('HGET', accounts, tenant) or '') ~= read then return { 'NOT_DONE' } end
  redis.call('HSET', accounts, tenant, record)
  tell(c)
  return { 'DONE' }
end)

-- delete_tenant: records the time from which a tenant is being deleted, and revokes its keys.
define('delete_tenant', { 'allow-oom' }, function(args)
  local c = begin(args)
  local by, tenant, accounts = args[OWN], args[OWN + 1], ACCOUNTS .. c.tag
  if not reaches(c, by, DEFAULT_TENANT) then return { 'DENIED' } end
  local record = redis.call('HGET', accounts, tenant)
  if tenant == DEFAULT_TENANT or not record then return { 'NOT_DONE' } end
  if cjson.decode(record).deleted_at then return { 'DONE' } end
  redis.call('SADD', DELETING .. c.tag, tenant)
  redis.call('HSET', accounts, tenant, record:sub(1, -2) .. ',"deleted_at":' .. c.at .. '}')
  for _, id in ipairs(redis.call('SMEMBERS', tenant_key(c, API_KEYS, tenant))) do
    if redis.call('HGET', api_key(c, id), 'revoked_at') == '' then
      redis.call('HSET', api_key(c, id), 'revoked_at', c.at)
    end
  end
  tell(c)
  return { 'DONE' }
end)

-- add_key: arguments are the authority, the key, its lifetime, the limit of keys per tenant, and optionally the key
-- that it replaces with the time for which that one stays valid.
define('add_key', { 'allow-oom' }, function(args)
  local c = begin(args)
  local by, id, tenant, scope, name, digest, life, most, old, grace = unpack(args, OWN, OWN + 9)
  -- The same call arrived a second time.
  if redis.call('HGET', api_key(c, id), 'digest') == digest then return { 'ADDED', read_key(c, id) } end
  if not reaches(c, by, tenant) then return { 'DENIED' } end
  if not is_tenant(c, tenant) then return { 'NO_TENANT' } end
  local old_until
  if old ~= '' then
    local known = redis.call('HMGET', api_key(c, old), 'tenant', 'expires_at')
    if known[1] ~= tenant or ended_at(c, old) then return { 'NO_KEY' } end
    old_until = math.min(c.now + tonumber(grace), tonumber(known[2]) or FAR)
  end
  local ids, gone = tenant_key(c, API_KEYS, tenant), nil
  if redis.call('SCARD', ids) >= tonumber(most) then
    gone = first_ended(c, ids)
    if not gone then return { 'FULL' } end
  end
  local expires_at = life == '' and '' or text(math.min(c.now + tonumber(life), FAR))
  -- Written first, since it must exist wherever there is a key.
  redis.call('SET', KEYED .. c.tag, 1)
  redis.call('HSET', api_key(c, id), 'tenant', tenant, 'scope', scope, 'name', name, 'digest', digest, 'created_at', c.at,
    'expires_at', expires_at, 'revoked_at', '')
  redis.call('SADD', ids, id)
  if gone then
    redis.call('SREM', ids, gone)
    redis.call('DEL', api_key(c, gone))
  end
  if old_until then redis.call('HSET', api_key(c, old), 'expires_at', text(old_until)) end
  tell(c)
  return { 'ADDED', read_key(c, id) }
end)

define('revoke_key', { 'allow-oom' }, function(args)
  local c = begin(args)
  local by, tenant, id = args[OWN], args[OWN + 1], args[OWN + 2]
  local known = redis.call('HMGET', api_key(c, id), 'tenant', 'revoked_at')
  local is_own_end = by == id and known[1] == tenant and known[2] ~= ''
  if not is_own_end and not reaches(c, by, tenant) then return { 'DENIED' } end
  if known[1] ~= tenant then return { 'NO_KEY' } end
  if known[2] == '' then
    redis.call('HSET', api_key(c, id), 'revoked_at', c.at)
    tell(c)
  end
  return { 'REVOKED', read_key(c, id) }
end)

define('keys', { 'no-writes' }, function(args)
  local c = begin(args)
  local found = {}
  for _, id in ipairs(redis.call('SMEMBERS', tenant_key(c, API_KEYS, args[OWN]))) do
    found[#found + 1] = read_key(c, id)
  end
  return found
end)

-- key: returns the time, and the key if it exists.
define('key', { 'no-writes' }, function(args)
  local c = begin(args)
  return { c.at, read_key(c, args[OWN]) or false }
end)
