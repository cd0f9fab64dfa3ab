-- Fuel that tenants' runs may reserve: a tank each, of which every dispatcher and REST node draws. One that is not there is
-- full: it is forgotten when it would be.

local MINUTE = 60000

-- draw: fuel out of a tank, as much as it has; below 0, fuel that goes back into it. Gives how much was drawn.
define('draw', { 'allow-oom' }, function(args)
  local c = begin(args)
  local key, most, want = tenant_key(c, FUEL, args[OWN]), tonumber(args[OWN + 1]), tonumber(args[OWN + 2])
  local known = redis.call('HMGET', key, 'fuel', 'at')
  local fuel = most
  if known[1] then
    fuel = math.min(most, tonumber(known[1]) + math.max(0, c.now - tonumber(known[2])) * most / MINUTE)
  end
  local drawn = math.min(want, math.floor(fuel))
  redis.call('HSET', key, 'fuel', string.format('%.3f', math.min(most, fuel - drawn)), 'at', c.at)
  redis.call('PEXPIRE', key, MINUTE)
  return text(drawn)
end)
