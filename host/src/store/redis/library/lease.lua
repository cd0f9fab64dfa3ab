-- lease: the first due tasks of a tenant, the highest priority first, then the oldest.

-- Tasks looked at in one call: some may have expired, and each is ended on the way.
local LOOKED_AT_MAX = 1024

-- Where a field is in a record.
local AT = {}
for at = 1, #RECORD do AT[RECORD[at]] = at + 2 end

-- All that a run needs, read at once: what decides about the task, and its record after `delayed` and its input.
local function read_record(c, id)
  local key = task_key(c, id)
  local v = redis.pcall('HMGET', key, 'delayed', 'param_payload', unpack(RECORD))
  if v.err or not v[AT.status] or not v[AT.tenant] then return nil end
  local t = {
    id = id, key = key, delayed = v[1], status = v[AT.status], tenant = v[AT.tenant], priority = v[AT.priority],
    attempt = v[AT.attempt], created_at = v[AT.created_at], expires_at = v[AT.expires_at],
    not_before = v[AT.not_before],
  }
  return t, v
end

-- Leases the task of a ready entry; its record and input, or nil.
local function lease_one(c, key, id, worker, token, lease_until)
  local t, record = read_record(c, id)
  if not t or t.status ~= QUEUED then
    put(c, key, id, false)
    return nil
  end
  if tonumber(t.expires_at) <= c.now then
    fail_task(c, t, EXPIRED)
    return nil
  end
  if tonumber(t.not_before) > c.now then
    -- It became ready before the clock was set back.
    put(c, key, id, false)
    enter_line(c, t, t.not_before)
    return nil
  end
  redis.call('HSET', t.key, 'status', RUNNING, 'attempt', text(t.attempt + 1), 'worker', worker, 'token', token,
    'leased_at', c.at, 'lease_until', lease_until)
  put(c, key, id, false)
  put(c, WAITING .. c.tag, id, false)
  put(c, LEASED .. c.tag, id, lease_until)
  count(c, t.tenant, 'running', 1)
  c.changed[#c.changed + 1] = id
  return { id, record }
end

-- Gives: whether bytes ended it before the tokens did, the time, and the leased tasks. With `wanted` ids only those are
-- leased, in their order.
define('lease', {}, function(args)
  local c = begin(args)
  local tenant, worker, bytes = args[OWN], args[OWN + 1], tonumber(args[OWN + 3])
  local lease_until = text(c.now + tonumber(args[OWN + 2]))
  local most = tonumber(args[OWN + 4])
  local tokens = OWN + 4
  local wanted = tokens + most
  local leased, looked_at = {}, 0
  local function full() return #leased >= most or bytes <= 0 or looked_at >= LOOKED_AT_MAX end
  local function try(key, id)
    looked_at = looked_at + 1
    local task = lease_one(c, key, id, worker, args[tokens + #leased + 1], lease_until)
    if task then
      leased[#leased + 1] = task
      bytes = bytes - #(task[2][2] or '')
    end
  end
  if #args > wanted then
    for at = wanted + 1, #args, 2 do
      if full() then break end
      try(ready_key(c, tenant, args[at]), args[at + 1])
    end
  else
    for _, priority in ipairs(PRIORITIES) do
      local key, from = ready_key(c, tenant, priority), 0
      while not full() do
        local ids = redis.call('ZRANGE', key, from, from + most - #leased - 1)
        if #ids == 0 then break end
        from = from + #ids
        for _, id in ipairs(ids) do
          if full() then break end
          try(key, id)
        end
      end
    end
  end
  local more = #leased < most and (bytes <= 0 or looked_at >= LOOKED_AT_MAX)
  flush(c)
  return { more and 1 or 0, c.now, leased }
end)

-- heads: the first ready entries of a tenant in this partition: priority, time, id, one after the other.
define('heads', { 'no-writes' }, function(args)
  local c = begin(args)
  local tenant, most = args[OWN], tonumber(args[OWN + 1])
  local found = {}
  for _, priority in ipairs(PRIORITIES) do
    local left = most - #found / 3
    if left <= 0 then break end
    local entries = redis.call('ZRANGE', ready_key(c, tenant, priority), 0, left - 1, 'WITHSCORES')
    for at = 1, #entries, 2 do
      found[#found + 1] = priority
      found[#found + 1] = entries[at + 1]
      found[#found + 1] = entries[at]
    end
  end
  return found
end)
