-- tick: performs the work that is due. Bounded per call: the first `most` due tasks, and the first ended ones.

-- Number of lines examined in one call.
local LINES_MAX = 20
-- Interval in milliseconds at which the first tasks of a long line are examined again. Tasks behind them that expire
-- are found then, or when it is their turn.
local LINE_AGAIN_MS = 60000

-- Performs the work that is due for the task of a due entry.
local function pass_one(c, id, done)
  local t = read_task(c, id)
  local due = t and not is_ended(t.status) and next_due(t)
  if not due then
    drop(c, c.due, id)
  elseif tonumber(due) > c.now then
    add(c, c.due, id, due)
  elseif t.status == RUNNING then
    -- The worker may never have received a lease that was never renewed.
    if not t.renewed then give_attempt_back(t) end
    done.lapsed[#done.lapsed + 1] = id
    done.lapsed[#done.lapsed + 1] = requeue_or_fail(c, t, c.now)
  elseif t.delayed and tonumber(t.since) <= c.now then
    leave_line(c, t)
    enter_line(c, t)
    call('HSET', t.key, 'state', state_text(t))
    done.promoted = done.promoted + 1
  else
    fail_task(c, t, EXPIRED)
    done.expired = done.expired + 1
  end
end

-- Fails the expired tasks of a line.
local function look_at_line(c, line, most, done)
  local ids, again, failed = call('ZRANGE', line_key(c, line), 0, most - 1), math.huge, 0
  for _, id in ipairs(ids) do
    local t = read_task(c, id)
    if not t or t.status ~= QUEUED or t.delayed then
      drop(c, line_key(c, line), id)
    elseif tonumber(t.expires_at) <= c.now then
      fail_task(c, t, EXPIRED)
      failed = failed + 1
    else
      again = math.min(again, tonumber(t.expires_at))
    end
  end
  if #ids == most then again = failed > 0 and c.now or math.min(again, c.now + LINE_AGAIN_MS) end
  if again == math.huge then
    call('ZREM', LINES .. c.tag, line)
  else
    call('ZADD', LINES .. c.tag, text(again), line)
  end
  done.expired = done.expired + failed
end

-- Number of members of the index of ended tasks that are read at a time.
local ENDED_READ = 10
-- Sizes of an id, and of an id with its time of acceptance.
local ID, ENDED_ENTRY = 36, 52
local ENDED_LETTERS = { C = true, F = true }

-- Removes the tasks of a member, and their index entries. Adds their keys to `keys`, each once.
local function forget(c, member, keys)
  local ended_at, tenant, from = member:match('^(%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d)(%S+) ()')
  local listed, dead = tenant_key(c, TASKS, tenant), tenant_key(c, DEAD, tenant)
  for at = from, #member, ENDED_ENTRY do
    local id = member:sub(at, at + ID - 1)
    local key = c.tasks .. id
    local state = try_call('HGET', key, 'state')
    -- An id made from an idempotency key can be used again once its record is gone; that task is not yet due.
    local is_due = type(state) == 'string' and ENDED_LETTERS[letter_in(state)] and since_in(state) == ended_at
    if is_due and not keys[key] then
      keys[#keys + 1], keys[key] = key, true
      count_bytes(c, tenant, -bytes_in(state))
    end
    drop(c, listed, member:sub(at + ID, at + ENDED_ENTRY - 1) .. id)
    drop(c, dead, ended_at .. id)
  end
  return (#member - from + 1) / ENDED_ENTRY
end

-- Purges the ended tasks whose time is over, in the order of that time.
local function purge(c, most)
  local purged, taken, keys = 0, 0, {}
  while purged < most do
    local members = call('ZRANGE', ENDED .. c.tag, '-inf', c.at, 'BYSCORE', 'LIMIT', taken, ENDED_READ)
    for _, member in ipairs(members) do
      if purged >= most then break end
      purged = purged + forget(c, member, keys)
      taken = taken + 1
    end
    if #members < ENDED_READ then break end
  end
  if taken == 0 then return 0 end
  for at = 1, #keys, CHUNK do call('UNLINK', unpack(keys, at, math.min(at + CHUNK - 1, #keys))) end
  flush(c)
  call('ZREMRANGEBYRANK', ENDED .. c.tag, 0, taken - 1)
  return purged
end

-- Largest number of passes: a task can be due for two reasons in turn, a lapsed lease and then its expiry.
local PASSES = 3

define('tick', { 'allow-oom' }, function(args)
  local c = begin(args)
  local most, done = tonumber(args[OWN]), { lapsed = {}, promoted = 0, expired = 0 }
  local more = 0
  for _ = 1, PASSES do
    local due = call('ZRANGE', c.due, '-inf', c.at, 'BYSCORE', 'LIMIT', 0, most)
    if #due == 0 then break end
    if #due >= most then more = 1 end
    for _, id in ipairs(due) do pass_one(c, id, done) end
    flush(c)
  end
  local lines = call('ZRANGE', LINES .. c.tag, '-inf', c.at, 'BYSCORE', 'LIMIT', 0, LINES_MAX)
  for _, line in ipairs(lines) do look_at_line(c, line, most, done) end
  if #lines > 0 then more = 1 end
  flush(c)
  local purged = purge(c, most)
  if purged >= most then more = 1 end
  return { more, done.promoted, done.expired, purged, done.lapsed }
end)
