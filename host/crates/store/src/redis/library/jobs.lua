-- Jobs: acts on many tasks. The value of a job is a letter, `O` while it is open and `E` once it has ended, the number of
-- callers that have taken it, of 10 digits, and its record.

-- Lua allows 200 names at a time, so these are this block's own.
do

local OPEN = 'O'
local function starts_of(value) return tonumber(sub(value, 2, 11)) end
local function value_of(letter, starts, record) return letter .. counted(starts) .. record end
local function jobs_key(c, tenant) return tenant_key(c, JOBS, tenant) end

-- add_job: adds a job unless its tenant is gone or has too many that are open. Removes the earliest ended ones beyond a number.
define('add_job', {}, function(args)
  local c = begin(args)
  local tenant, id, record, most, kept, digest = unpack(args, OWN, OWN + 5)
  local key, open, ended = jobs_key(c, tenant), 0, {}
  if is_gone(c, tenant, digest) then return 'NO_TENANT' end
  if call('HEXISTS', key, id) == 1 then return 'ADDED' end
  local all = call('HGETALL', key)
  for at = 1, #all, 2 do
    if sub(all[at + 1], 1, 1) == OPEN then open = open + 1 else ended[#ended + 1] = all[at] end
  end
  if open >= tonumber(most) then return 'MANY' end
  table.sort(ended)
  for at = 1, open + #ended + 1 - tonumber(kept) do
    if ended[at] then call('HDEL', key, ended[at]) end
  end
  call('HSET', key, id, value_of(OPEN, 0, record))
  call('ZADD', JOBS_OPEN .. c.tag, 0, tenant .. ' ' .. id)
  return 'ADDED'
end)

-- take_jobs: holds open jobs that nobody holds. Returns their values.
define('take_jobs', { 'allow-oom' }, function(args)
  local c = begin(args)
  local most, hold, taken, index = tonumber(args[OWN]), tonumber(args[OWN + 1]), {}, JOBS_OPEN .. c.tag
  for _, member in ipairs(call('ZRANGE', index, '-inf', c.at, 'BYSCORE', 'LIMIT', 0, most)) do
    local tenant, id = member:match('^(%S+) (%S+)$')
    local value = call('HGET', jobs_key(c, tenant), id)
    if value and sub(value, 1, 1) == OPEN then
      value = value_of(OPEN, starts_of(value) + 1, sub(value, 12))
      call('HSET', jobs_key(c, tenant), id, value)
      call('ZADD', index, text(c.now + hold), member)
      taken[#taken + 1] = value
    else
      call('ZREM', index, member)
    end
  end
  return taken
end)

-- save_job: replaces an open job whose caller was the latest to take it; without a number of takings, any open job. Returns 1
-- if it did.
define('save_job', { 'allow-oom' }, function(args)
  local c = begin(args)
  local tenant, id, starts, letter, record, hold = unpack(args, OWN, OWN + 5)
  local key, index = jobs_key(c, tenant), JOBS_OPEN .. c.tag
  local known = call('HGET', key, id)
  if not known or sub(known, 1, 1) ~= OPEN then return 0 end
  if starts ~= '' and starts_of(known) ~= tonumber(starts) then return 0 end
  call('HSET', key, id, value_of(letter, starts_of(known), record))
  if letter == OPEN then
    call('ZADD', index, text(c.now + tonumber(hold)), tenant .. ' ' .. id)
  else
    call('ZREM', index, tenant .. ' ' .. id)
  end
  return 1
end)

end
