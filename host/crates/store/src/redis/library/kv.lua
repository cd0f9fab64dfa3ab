-- Values and settings of functions.
--
-- A value is written as `<revision> <until> <bytes>`; `until` is 0 if it does not expire. This entry is complete: the
-- index of expiries only serves to find expired values. An expired value looks absent.

local function names(c, tenant, name)
  local of = c.tag .. ':' .. tenant .. ':' .. name
  return { tenant = tenant, values = VALUES .. of, ends = VALUE_ENDS .. of, counts = VALUE_COUNTS .. of,
    former = VALUE_COUNTS .. c.tag .. ':' .. tenant, all = tenant_key(c, NAMESPACES, tenant) }
end

-- The other names are this block's own, since Lua allows 200 at a time.
do

-- Largest number of expired values that one set removes, to bound its work.
local REMOVED_MAX = 64

-- Returns the revision in an entry and the position of its bytes; nil if it has expired.
local function parts(c, entry)
  local revision, ends, from = string.match(entry, '^(%d+) (%d+) ()')
  if ends ~= '0' and tonumber(ends) <= c.now then return nil, nil end
  return revision, from
end

-- Returns the value's revision, the position of its bytes, and its entry. The first two are nil if it has expired, all
-- three if it does not exist.
local function live(c, n, key)
  local entry = redis.call('HGET', n.values, key)
  if not entry then return nil, nil, nil end
  local revision, from = parts(c, entry)
  return revision, from, entry
end

local function bytes_of(key, entry)
  local from = string.match(entry, '^%d+ %d+ ()')
  return #key + #entry - from + 1
end

local function remove(c, n, key, entry)
  local bytes = bytes_of(key, entry)
  redis.call('HINCRBY', n.counts, 'bytes', -bytes)
  add_bytes(c, n.tenant, -(VALUE_BYTES + bytes))
  redis.call('HDEL', n.values, key)
  redis.call('ZREM', n.ends, key)
end

-- Returns true if a tenant may store this many more bytes; fewer than before always.
local function may_store(c, tenant, more, most) return more <= 0 or stored_bytes(c, tenant) + more <= most end

local function remove_ended(c, n)
  local keys = redis.call('ZRANGE', n.ends, '-inf', c.at, 'BYSCORE', 'LIMIT', 0, REMOVED_MAX)
  for _, key in ipairs(keys) do
    local revision, _, entry = live(c, n, key)
    if entry and not revision then remove(c, n, key, entry) else redis.call('ZREM', n.ends, key) end
  end
end

local function is_met(expects, revision)
  if expects == 'anything' then return true end
  if expects == 'nothing' then return not revision end
  return revision == expects
end

-- value: returns its revision and bytes.
define('value', { 'no-writes' }, function(args)
  local c = begin(args)
  local revision, from, entry = live(c, names(c, args[OWN], args[OWN + 1]), args[OWN + 2])
  if not revision then return false end
  return { revision, string.sub(entry, from) }
end)

-- list_keys: returns the place where this page ends, 0 if it is the last one, and its keys that start with a prefix.
define('list_keys', { 'no-writes' }, function(args)
  local c = begin(args)
  local n, prefix = names(c, args[OWN], args[OWN + 1]), args[OWN + 2]
  local page = redis.call('HSCAN', n.values, args[OWN + 3], 'COUNT', args[OWN + 4])
  local keys = {}
  for at = 1, #page[2], 2 do
    local key = page[2][at]
    if string.sub(key, 1, #prefix) == prefix and parts(c, page[2][at + 1]) then keys[#keys + 1] = key end
  end
  return { page[1], keys }
end)

-- set_value: sets a value if its precondition holds and the namespace has room.
define('set_value', {}, function(args)
  local c = begin(args)
  local n = names(c, args[OWN], args[OWN + 1])
  local key, value, ttl, expects = args[OWN + 2], args[OWN + 3], args[OWN + 4], args[OWN + 5]
  local entries_max, bytes_max, stored_max = tonumber(args[OWN + 6]), tonumber(args[OWN + 7]), tonumber(args[OWN + 8])
  if is_closed(c, args[OWN]) then return { 'CLOSED' } end
  remove_ended(c, n)
  local revision, _, before = live(c, n, key)
  if not is_met(expects, revision) then return { 'CONFLICT' } end
  local counts = redis.call('HMGET', n.counts, 'revision', 'bytes')
  local change = #key + #value
  if before then change = change - bytes_of(key, before) end
  local entries = redis.call('HLEN', n.values) + (before and 0 or 1)
  if entries > entries_max or tonumber(counts[2] or 0) + change > bytes_max then return { 'QUOTA' } end
  local more = before and change or VALUE_BYTES + change
  if not may_store(c, n.tenant, more, stored_max) then return { 'QUOTA' } end
  local last = counts[1] or redis.call('HGET', n.former, 'revision') or 0
  if not counts[1] then call('SADD', n.all, args[OWN + 1]) end
  local new, ends = text(last + 1), '0'
  if ttl ~= '' then ends = text(c.now + tonumber(ttl)) end
  redis.call('HSET', n.values, key, new .. ' ' .. ends .. ' ' .. value)
  redis.call('HSET', n.counts, 'revision', new)
  redis.call('HINCRBY', n.counts, 'bytes', change)
  add_bytes(c, n.tenant, more)
  if ends == '0' then redis.call('ZREM', n.ends, key) else redis.call('ZADD', n.ends, ends, key) end
  return { 'SET', new }
end)

-- delete_value: deletes a value if its precondition holds.
define('delete_value', { 'allow-oom' }, function(args)
  local c = begin(args)
  local n = names(c, args[OWN], args[OWN + 1])
  local key, expects = args[OWN + 2], args[OWN + 3]
  local revision, _, entry = live(c, n, key)
  if not revision and (expects == 'anything' or expects == 'nothing') then return { 'ABSENT' } end
  if not is_met(expects, revision) then return { 'CONFLICT' } end
  remove(c, n, key, entry)
  return { 'DELETED' }
end)

-- set_setting: sets a tenant's setting in the key of a function's settings of one kind; the last argument is the
-- function's name.
define('set_setting', {}, function(args)
  local c = begin(args)
  local tenant, key, name, value = unpack(args, OWN, OWN + 3)
  local most, stored_max = tonumber(args[OWN + 4]), tonumber(args[OWN + 5])
  if is_closed(c, tenant) then return { 'CLOSED' } end
  local before = redis.call('HGET', key, name)
  if not before and redis.call('HLEN', key) >= most then return { 'FULL' } end
  local more = before and #value - #before or VALUE_BYTES + #name + #value
  if not may_store(c, tenant, more, stored_max) then return { 'LARGE' } end
  call('SADD', tenant_key(c, NAMESPACES, tenant), args[OWN + 6])
  redis.call('HSET', key, name, value)
  add_bytes(c, tenant, more)
  return { 'SET' }
end)

-- unset: deletes a tenant's setting. Returns the number of deleted ones.
define('unset', { 'allow-oom' }, function(args)
  local c = begin(args)
  local tenant, key, name = unpack(args, OWN, OWN + 2)
  local before = redis.call('HGET', key, name)
  if not before then return 0 end
  redis.call('HDEL', key, name)
  add_bytes(c, tenant, -(VALUE_BYTES + #name + #before))
  return 1
end)

-- forget: deletes all data of a function. Later namespaces of its tenant in this place continue after its revisions, so
-- that none is used again.
define('forget', { 'allow-oom' }, function(args)
  local c = begin(args)
  local n = names(c, args[OWN], args[OWN + 1])
  local last = tonumber(redis.call('HGET', n.counts, 'revision') or 0)
  if last > tonumber(redis.call('HGET', n.former, 'revision') or 0) then
    redis.call('HSET', n.former, 'revision', text(last))
  end
  local bytes = redis.call('HLEN', n.values) * VALUE_BYTES + tonumber(redis.call('HGET', n.counts, 'bytes') or 0)
  for _, key in ipairs({ args[OWN + 2], args[OWN + 3] }) do
    local settings = redis.call('HGETALL', key)
    for at = 1, #settings, 2 do bytes = bytes + VALUE_BYTES + #settings[at] + #settings[at + 1] end
  end
  add_bytes(c, n.tenant, -bytes)
  redis.call('SREM', n.all, args[OWN + 1])
  redis.call('UNLINK', n.values, n.ends, n.counts, args[OWN + 2], args[OWN + 3])
  return 1
end)

end
