-- tick: what time asks for. Bounded work a call: of each kind the first `most`.

local function due(c, name, most)
  return redis.call('ZRANGE', name .. c.tag, '-inf', string.format('%.0f', c.now), 'BYSCORE', 'LIMIT', 0, most)
end

local function lapse(c, ids, lapsed)
  for _, id in ipairs(ids) do
    local t = read_task(c, id)
    if not t or t.status ~= RUNNING then
      put(c, LEASED .. c.tag, id, false)
    elseif tonumber(t.lease_until) > c.now then
      put(c, LEASED .. c.tag, id, t.lease_until)
    else
      lapsed[#lapsed + 1] = id
      lapsed[#lapsed + 1] = requeue_or_fail(c, t, c.now)
    end
  end
  flush(c)
end

local function promote(c, ids)
  local promoted = 0
  for _, id in ipairs(ids) do
    local t = read_task(c, id)
    if not t or t.status ~= QUEUED or not t.delayed then
      put(c, DELAYED .. c.tag, id, false)
    elseif tonumber(t.not_before) > c.now then
      put(c, DELAYED .. c.tag, id, t.not_before)
    else
      redis.call('HDEL', t.key, 'delayed')
      leave_line(c, t)
      enter_line(c, t, t.not_before)
      promoted = promoted + 1
    end
  end
  flush(c)
  return promoted
end

local function expire(c, ids)
  local expired = 0
  for _, id in ipairs(ids) do
    local t = read_task(c, id)
    if not t or t.status ~= QUEUED then
      put(c, WAITING .. c.tag, id, false)
    elseif tonumber(t.expires_at) > c.now then
      put(c, WAITING .. c.tag, id, t.expires_at)
    else
      fail_task(c, t, EXPIRED)
      expired = expired + 1
    end
  end
  flush(c)
  return expired
end

local function purge(c, entries)
  for _, entry in ipairs(entries) do
    local id, created_at, ended_at, tenant = entry:sub(1, 36), entry:sub(37, 52), entry:sub(53, 68), entry:sub(69)
    local key = task_key(c, id)
    local known = redis.pcall('HMGET', key, 'status', 'ended_at')
    put(c, ENDED .. c.tag, entry, false)
    -- An id that is made from an idempotency key can come again once its record is gone: that one is not yet due.
    local again = known[2] and padded(known[2]) ~= ended_at or known[1] and not is_ended(known[1])
    if not again and not known.err then redis.call('UNLINK', key) end
    put(c, tenant_key(c, TASKS, tenant), created_at .. id, false)
    put(c, tenant_key(c, DEAD, tenant), ended_at .. id, false)
  end
  flush(c)
  return #entries
end

define('tick', { 'allow-oom' }, function(args)
  local c = begin(args)
  local most, lapsed = tonumber(args[OWN]), {}
  local more = 0
  local function first(name)
    local found = due(c, name, most)
    if #found >= most then more = 1 end
    return found
  end
  lapse(c, first(LEASED), lapsed)
  local promoted = promote(c, first(DELAYED))
  local expired = expire(c, first(WAITING))
  local purged = purge(c, first(ENDED))
  return { more, promoted, expired, purged, lapsed }
end)
