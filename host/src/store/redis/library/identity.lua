-- Tenants and API keys. A tenant's record is JSON as the host writes it, with fields that this library need not know; a
-- key's is a hash. All of them are in one place.

local KEY_RECORD = { 'tenant', 'scope', 'name', 'digest', 'created_at', 'expires_at', 'revoked_at' }

local function api_key(c, id) return API_KEY .. c.tag .. ':' .. id end

local function tell(c) redis.call('PUBLISH', IDENTITY_CHANNEL .. c.channels, '') end

-- Whether a tenant is there and not deleted.
local function is_tenant(c, tenant)
  local record = redis.call('HGET', ACCOUNTS .. c.tag, tenant)
  if not record then return tenant == DEFAULT_TENANT end
  return not cjson.decode(record).deleted_at
end

-- Since when a key is good no more; nil where it is.
local function ended_at(c, id, now)
  local v = redis.call('HMGET', api_key(c, id), 'expires_at', 'revoked_at')
  local ended
  for _, at in ipairs({ v[1] or '', v[2] or '' }) do
    at = tonumber(at)
    if at and at <= now and (not ended or at < ended) then ended = at end
  end
  return ended
end

-- The key of a tenant that ended first; nil where none has.
local function first_ended(c, ids, now)
  local first, since
  for _, id in ipairs(redis.call('SMEMBERS', ids)) do
    local ended = ended_at(c, id, now)
    if ended and (not since or ended < since) then first, since = id, ended end
  end
  return first
end

local function read_key(c, id)
  local record = redis.call('HMGET', api_key(c, id), unpack(KEY_RECORD))
  return record[1] and { id, record } or nil
end

define('add_tenant', {}, function(args)
  local c = begin(args)
  local tenant, record, most = args[OWN], args[OWN + 1], tonumber(args[OWN + 2])
  local accounts = ACCOUNTS .. c.tag
  if tenant == DEFAULT_TENANT or redis.call('HEXISTS', accounts, tenant) == 1 then return 'TAKEN' end
  if redis.call('HLEN', accounts) >= most then return 'FULL' end
  redis.call('HSET', accounts, tenant, record)
  tell(c)
  return 'ADDED'
end)

-- change_tenant: another record where it is still the one that was read; with a time, every key is revoked too.
define('change_tenant', { 'allow-oom' }, function(args)
  local c = begin(args)
  local tenant, read, record, revoked_at = args[OWN], args[OWN + 1], args[OWN + 2], args[OWN + 3]
  local accounts = ACCOUNTS .. c.tag
  if (redis.call('HGET', accounts, tenant) or '') ~= read then return 0 end
  redis.call('HSET', accounts, tenant, record)
  if revoked_at ~= '' then
    for _, id in ipairs(redis.call('SMEMBERS', tenant_key(c, API_KEYS, tenant))) do
      if redis.call('HGET', api_key(c, id), 'revoked_at') == '' then
        redis.call('HSET', api_key(c, id), 'revoked_at', revoked_at)
      end
    end
  end
  tell(c)
  return 1
end)

-- add_key: a key's record, the most of a tenant, and where it replaces one, which and until when that is good.
define('add_key', {}, function(args)
  local c = begin(args)
  local id, record, most, old, old_until = args[OWN], {}, tonumber(args[OWN + 8]), args[OWN + 9], args[OWN + 10]
  for at, name in ipairs(KEY_RECORD) do
    record[#record + 1] = name
    record[#record + 1] = args[OWN + at]
  end
  local tenant, digest, now = args[OWN + 1], args[OWN + 4], tonumber(args[OWN + 5])
  -- The same call, arrived a second time.
  if redis.call('HGET', api_key(c, id), 'digest') == digest then return 'ADDED' end
  if not is_tenant(c, tenant) then return 'NO_TENANT' end
  if old ~= '' then
    local known = redis.call('HMGET', api_key(c, old), 'tenant', 'expires_at')
    if known[1] ~= tenant or ended_at(c, old, now) then return 'NO_KEY' end
    local expires_at = tonumber(known[2])
    if expires_at and expires_at < tonumber(old_until) then old_until = known[2] end
  end
  local ids, gone = tenant_key(c, API_KEYS, tenant), nil
  if redis.call('SCARD', ids) >= most then
    gone = first_ended(c, ids, now)
    if not gone then return 'FULL' end
  end
  -- First, since it must be there wherever there is a key.
  redis.call('SET', KEYED .. c.tag, 1)
  redis.call('HSET', api_key(c, id), unpack(record))
  redis.call('SADD', ids, id)
  if gone then
    redis.call('SREM', ids, gone)
    redis.call('DEL', api_key(c, gone))
  end
  if old ~= '' then redis.call('HSET', api_key(c, old), 'expires_at', old_until) end
  tell(c)
  return 'ADDED'
end)

define('revoke_key', { 'allow-oom' }, function(args)
  local c = begin(args)
  local tenant, id = args[OWN], args[OWN + 1]
  local known = redis.call('HMGET', api_key(c, id), 'tenant', 'revoked_at')
  if known[1] ~= tenant then return false end
  if known[2] == '' then redis.call('HSET', api_key(c, id), 'revoked_at', args[OWN + 2]) end
  tell(c)
  return read_key(c, id)
end)

define('keys', { 'no-writes' }, function(args)
  local c = begin(args)
  local found = {}
  for _, id in ipairs(redis.call('SMEMBERS', tenant_key(c, API_KEYS, args[OWN]))) do
    found[#found + 1] = read_key(c, id)
  end
  return found
end)

define('key', { 'no-writes' }, function(args)
  local c = begin(args)
  return read_key(c, args[OWN]) or false
end)
