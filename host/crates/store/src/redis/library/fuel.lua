-- Tenants' fuel and compile time: one tank per tenant, from which every dispatcher and REST node draws. An absent tank is full: a key
-- expires after a minute, in which its tank refills.

local MINUTE = 60000

local HOUR = 3600000

-- compile_budget: charges CPU milliseconds to a tenant's compile budget, and returns those that are left. An absent budget
-- is full: a key expires after two hours, in which even one that is overdrawn as far as possible refills.
define('compile_budget', { 'allow-oom' }, function(args)
  local c = begin(args)
  local key, most, used = tenant_key(c, COMPILE_BUDGET, args[OWN]), tonumber(args[OWN + 1]), tonumber(args[OWN + 2])
  local known = redis.call('HMGET', key, 'left', 'at')
  local left = most
  if known[1] then
    left = math.min(most, tonumber(known[1]) + math.max(0, c.now - tonumber(known[2])) * most / HOUR)
  end
  left = math.max(left - used, -most)
  if left < most then
    redis.call('HSET', key, 'left', string.format('%.3f', left), 'at', c.at)
    redis.call('PEXPIRE', key, 2 * HOUR)
  end
  return text(math.floor(left))
end)

-- Returns what is in a tank that gets `most` units a minute.
local function level(c, key, most)
  local known = redis.call('HMGET', key, 'fuel', 'at')
  if not known[1] then return most end
  return math.min(most, tonumber(known[1]) + math.max(0, c.now - tonumber(known[2])) * most / MINUTE)
end

-- fuel_left: returns the units in a tank.
define('fuel_left', { 'no-writes' }, function(args)
  local c = begin(args)
  return text(math.floor(level(c, tenant_key(c, FUEL, args[OWN]), tonumber(args[OWN + 1]))))
end)

-- draw: takes up to an amount of fuel from a tank; a negative amount returns fuel to it. Returns the amount taken.
define('draw', { 'allow-oom' }, function(args)
  local c = begin(args)
  local key, most, want = tenant_key(c, FUEL, args[OWN]), tonumber(args[OWN + 1]), tonumber(args[OWN + 2])
  local fuel = level(c, key, most)
  local drawn = math.min(want, math.floor(fuel))
  redis.call('HSET', key, 'fuel', string.format('%.3f', math.min(most, fuel - drawn)), 'at', c.at)
  redis.call('PEXPIRE', key, MINUTE)
  return text(drawn)
end)
