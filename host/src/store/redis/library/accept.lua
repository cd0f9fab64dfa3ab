-- accept: new tasks, each on its own.

local ROW = 15

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

-- Whether a version that the caller only remembered is still there, or is still its name's newest.
local function is_as_expected(c, tenant, name, id, expects)
  if expects == '' then return true end
  local what = expects .. tenant .. ' ' .. id
  if c.expected[what] == nil then
    if expects == 'newest' then
      c.expected[what] = redis.call('ZRANGE', versions_key(c, tenant, name), 0, 0, 'REV')[1] == id
    else
      local known = redis.call('HMGET', function_key(c, id), 'tenant', 'deleted_at')
      c.expected[what] = known[1] == tenant and not known[2]
    end
  end
  return c.expected[what]
end

-- Answers with the time for a task that is new, else with a word.
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
    elseif not is_as_expected(c, tenant, args[at + 4], args[at + 3], args[at + 13]) then
      answer = 'CHANGED'
    elseif room == '0' or cap > 0 and depth(c, tenant) >= cap then
      answer = 'FULL'
    else
      answer = c.now
      local not_before, expires_at = args[at + 9], args[at + 10]
      local fields = {
        'function_id', args[at + 3], 'param_payload', args[at + 14], 'status', QUEUED, 'tenant', tenant,
        'function_name', args[at + 4], 'module', args[at + 5], 'limits', args[at + 6], 'priority', args[at + 7],
        'attempt', '0', 'attempts_max', args[at + 8], 'releases', '0', 'created_at', c.at, 'not_before', not_before,
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
      local t = { id = id, key = key, tenant = tenant, priority = args[at + 7], created_at = c.at, expires_at = expires_at }
      enter_line(c, t, not_before)
      put(c, tenant_key(c, TASKS, tenant), padded(c.now) .. id, '0')
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
