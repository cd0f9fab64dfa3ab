-- Deletion of tenants, in parts of bounded size. The keys of a tenant are in several places, so each place is closed for
-- it first, and cleared; when no task of it is left in any place, so are its functions and the tenant itself.

-- Time for which a place stays closed to a tenant that is gone, in milliseconds: longer than a request takes from its
-- look-up of a function to the acceptance of its task, and than a run takes to end after its cancellation.
local CLOSED = 3600000
-- Number of members of the index of ended tasks that are examined in one call.
local ENDED_LOOKED_AT = 1000

-- Removes an unfinished task from the index it is in, and tells those who wait for it and its worker.
local function stop(c, t)
  if t.status == RUNNING then
    leave_lease(c, t.id, t.lease, t.tenant)
    c.cancelled[#c.cancelled + 1] = t.id
  else
    leave_line(c, t)
  end
end

-- Deletes a task, and its entries beside that of the listing. Returns true if others wait for its end.
local function clear_task(c, t)
  if t.kind.tagged then tags.drop(c, t.tenant, t.id, t.record) end
  if is_ended(t.status) then
    drop(c, tenant_key(c, DEAD, t.tenant), t.since .. t.id)
    return false
  end
  stop(c, t)
  use_kind(c, t.kind.name, -1)
  return true
end

-- Deletes the tasks of the first members of a tenant's listing, `most` tasks or those of one member. Returns the number of
-- tasks.
local function clear_tasks(c, tenant, most)
  local listed, keys, ended, many = tenant_key(c, TASKS, tenant), {}, {}, 0
  while many < most do
    local member = call('ZRANGE', listed, 0, 0)[1]
    if not member then break end
    for _, id in ipairs(ids_in(member, 17)) do
      local t = read_task(c, id)
      many = many + 1
      if t and t.tenant == tenant then
        if clear_task(c, t) then ended[#ended + 1] = id end
        keys[#keys + 1] = t.key
      end
    end
    call('ZREM', listed, member)
  end
  for at = 1, #keys, CHUNK do call('UNLINK', unpack(keys, at, math.min(at + CHUNK - 1, #keys))) end
  publish(c, ENDED_CHANNEL, ended)
  flush(c)
  return many
end

-- Deletes the entries of a tenant among some more members of the index of ended tasks; returns true after the last.
local function clear_ended(c, tenant, counters)
  local from = call('HGET', counters, 'looked_at') or '0'
  if from == 'all' then return true end
  local pattern = ('?'):rep(17) .. tenant .. ' *'
  local scanned = call('ZSCAN', ENDED .. c.tag, from, 'MATCH', pattern, 'COUNT', ENDED_LOOKED_AT)
  for at = 1, #scanned[2], 2 do
    local member = scanned[2][at]
    local from = 19 + #tenant
    use_kind(c, sub(member, from, from + 15), -#ids_in(member, from + 32))
    drop(c, ENDED .. c.tag, member)
  end
  flush(c)
  local is_last = scanned[1] == '0'
  call('HSET', counters, 'looked_at', is_last and 'all' or scanned[1])
  return is_last
end

-- Returns some members of a set, about as many as are wanted; none only if it is empty. One call may find none in a set
-- that has lost most of its members.
local function some_members(key, wanted)
  local from = '0'
  repeat
    local scanned = call('SSCAN', key, from, 'COUNT', wanted)
    if #scanned[2] > 0 then return scanned[2] end
    from = scanned[1]
  until from == '0'
  return {}
end

-- Deletes the values and settings of some functions of a tenant; returns the number of functions, values and settings.
local function clear_namespaces(c, tenant, most)
  local all, values, settings = tenant_key(c, NAMESPACES, tenant), 0, 0
  local found = some_members(all, most)
  for _, name in ipairs(found) do
    local n, of = names(c, tenant, name), c.tag .. ':' .. tenant .. ':' .. name
    values = values + call('HLEN', n.values)
    settings = settings + call('HLEN', CONFIG .. of) + call('HLEN', SECRETS .. of)
    call('UNLINK', n.values, n.ends, n.counts, CONFIG .. of, SECRETS .. of)
    call('SREM', all, name)
  end
  return #found, values, settings
end

-- clear: closes a place to a tenant and deletes a part of what it has there. Returns 1 if there may be more, otherwise
-- 0, and the numbers of tasks, values and settings.
define('clear', { 'allow-oom' }, function(args)
  local c = begin(args)
  local tenant, most = args[OWN], tonumber(args[OWN + 1])
  local counters = tenant_key(c, COUNTERS, tenant)
  call('HSET', counters, 'closed', 1)
  if most == 0 then return { 1, 0, 0, 0 } end
  local tasks = clear_tasks(c, tenant, most)
  if tasks >= most or not clear_ended(c, tenant, counters) then return { 1, tasks, 0, 0 } end
  local functions, values, settings = clear_namespaces(c, tenant, most)
  if functions > 0 then return { 1, tasks, values, settings } end
  for _, priority in ipairs(PRIORITIES) do
    local line = line_of(tenant, priority)
    call('ZREM', LINES .. c.tag, line)
    call('UNLINK', fresh_key(c, line), ready_key(c, line))
  end
  call('SREM', TENANTS .. c.tag, tenant)
  call('HDEL', STORED .. c.tag, tenant)
  call('UNLINK', counters, tenant_key(c, GONE, tenant), tenant_key(c, VALUE_COUNTS, tenant))
  call('HSET', counters, 'closed', 1, 'looked_at', 'all')
  call('PEXPIRE', counters, CLOSED)
  return { 0, tasks, values, settings }
end)

-- Deletes some versions of a tenant, whose tasks are gone; returns their number, and true if there may be more.
local function clear_functions(c, tenant, most)
  local all, cleared, left = tenant_key(c, NAMES, tenant), 0, most
  for _, name in ipairs(call('ZRANGE', all, 0, most - 1)) do
    for _, versions in ipairs({ drafts_key(c, tenant, name), versions_key(c, tenant, name) }) do
      for _, id in ipairs(call('ZRANGE', versions, 0, left - 1)) do
        cleared, left = cleared + delete_one(c, tenant, id), left - 1
        remove_version(c, id)
        call('ZREM', versions, id)
      end
      if left == 0 then return cleared, true end
    end
    call('ZREM', all, name)
  end
  -- Those that were deleted before; any beyond these are collected by a tick, as no task needs them.
  for _, id in ipairs(call('ZRANGE', DELETED .. c.tag, 0, most - 1)) do
    if call('HGET', function_key(c, id), 'tenant') == tenant then remove_version(c, id) end
  end
  return cleared, call('ZCARD', all) > 0
end

-- bury: deletes a part of the functions of a tenant that is cleared in every place, and after the last one its keys and
-- its record. Returns 1 if there is more, otherwise 0, and the numbers of functions and keys.
define('bury', { 'allow-oom' }, function(args)
  local c = begin(args)
  local tenant, most, digest = args[OWN], tonumber(args[OWN + 1]), args[OWN + 2]
  if call('HEXISTS', ACCOUNTS .. c.tag, tenant) == 0 then return { 0, 0, 0 } end
  local functions, more = clear_functions(c, tenant, most)
  if more then return { 1, functions, 0 } end
  local ids = tenant_key(c, API_KEYS, tenant)
  local keys = call('SMEMBERS', ids)
  for _, id in ipairs(keys) do call('DEL', api_key(c, id)) end
  call('UNLINK', ids, tenant_key(c, NUMBERS, tenant), tenant_key(c, FUEL, tenant), tenant_key(c, COMPILE_BUDGET, tenant),
    tenant_key(c, JOBS, tenant))
  call('HDEL', VERSION_COUNTS .. c.tag, tenant)
  call('HDEL', STORED .. c.tag, tenant)
  call('APPEND', TOMBSTONES .. c.tag, digest)
  call('HDEL', ACCOUNTS .. c.tag, tenant)
  call('SREM', DELETING .. c.tag, tenant)
  tell(c)
  return { 0, functions, #keys }
end)

-- deleting: returns a tenant that is being deleted; empty if there is none.
define('deleting', { 'no-writes' }, function(args)
  local c = begin(args)
  return some_members(DELETING .. c.tag, 1)[1] or ''
end)
