-- accept: new tasks, each on its own.

local ROW = 14

-- Waiting tasks of a tenant.
local function depth(c, tenant)
  local known = c.depths[tenant]
  if known then return known end
  local waiting = math.max(0, tonumber(redis.call('HGET', tenant_key(c, COUNTERS, tenant), 'delayed') or 0))
  for _, priority in ipairs(PRIORITIES) do
    waiting = waiting + redis.call('ZCARD', ready_key(c, tenant, priority))
  end
  c.depths[tenant] = waiting
  return waiting
end

-- `cap` is the most that may wait in this partition; 0 where the caller has counted, and says by row what has room.
define('accept', {}, function(args)
  local c = begin(args)
  local cap = tonumber(args[OWN])
  local answers, tenants = {}, {}
  for at = OWN + 1, #args, ROW do
    local id, room, tenant, fingerprint = args[at], args[at + 1], args[at + 2], args[at + 11]
    local key = task_key(c, id)
    local known = redis.call('HMGET', key, 'tenant', 'fingerprint')
    local answer
    if known[1] then
      answer = known[1] == tenant and (known[2] or '') == fingerprint and 'DUPLICATE' or 'CONFLICT'
    elseif room == '0' or cap > 0 and depth(c, tenant) >= cap then
      answer = 'FULL'
    else
      answer = 'NEW'
      local not_before, expires_at = args[at + 9], args[at + 10]
      local fields = {
        'function_id', args[at + 3], 'param_payload', args[at + 13], 'status', QUEUED, 'tenant', tenant,
        'function_name', args[at + 4], 'module', args[at + 5], 'limits', args[at + 6], 'priority', args[at + 7],
        'attempt', 0, 'attempts_max', args[at + 8], 'releases', 0, 'created_at', c.now, 'not_before', not_before,
        'expires_at', expires_at,
      }
      if fingerprint ~= '' then
        fields[#fields + 1] = 'fingerprint'
        fields[#fields + 1] = fingerprint
      end
      if args[at + 12] ~= '' then
        fields[#fields + 1] = 'retry_of'
        fields[#fields + 1] = args[at + 12]
      end
      redis.call('HSET', key, unpack(fields))
      local t = { id = id, key = key, tenant = tenant, priority = args[at + 7], created_at = c.now, expires_at = expires_at }
      enter_line(c, t, not_before)
      put(c, tenant_key(c, TASKS, tenant), padded(c.now) .. id, 0)
      if cap > 0 then c.depths[tenant] = c.depths[tenant] + 1 end
      if not tenants[tenant] then
        tenants[tenant] = true
        redis.call('SADD', TENANTS .. c.tag, tenant)
      end
      redis.call('PUBLISH', SEED_CHANNEL, id)
    end
    answers[#answers + 1] = answer
  end
  flush(c)
  return answers
end)

-- depths: waiting tasks of tenants.
define('depths', { 'no-writes' }, function(args)
  local c = begin(args)
  local answers = {}
  for at = OWN, #args do answers[#answers + 1] = depth(c, args[at]) end
  return answers
end)
