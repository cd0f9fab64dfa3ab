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
    call('HSET', t.key, 'record', record_text(t))
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

-- Removes the index entries of ended tasks. Entries are in the order of their time unless another host keeps ended
-- tasks for longer; later entries then wait for the earlier ones.
local function purge(c, most)
  local entries = call('LRANGE', ENDED .. c.tag, 0, most - 1)
  local purged = 0
  for _, entry in ipairs(entries) do
    if tonumber(entry:sub(1, 16)) > c.now then break end
    purged = purged + 1
    local id, created_at, ended_at, tenant = entry:sub(17, 52), entry:sub(53, 68), entry:sub(69, 84), entry:sub(85)
    local known = read_task(c, id)
    -- An id made from an idempotency key can be used again once its record is gone; that task is not yet due.
    if known and is_ended(known.status) and padded(known.since) == ended_at then call('UNLINK', known.key) end
    drop(c, tenant_key(c, TASKS, tenant), created_at .. id)
    drop(c, tenant_key(c, DEAD, tenant), ended_at .. id)
  end
  flush(c)
  if purged > 0 then call('LTRIM', ENDED .. c.tag, purged, -1) end
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
