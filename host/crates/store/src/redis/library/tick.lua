-- tick: performs the work that is due. Bounded per call: the first `most` due tasks, and the first ended ones.

-- Number of lines examined in one call.
local LINES_MAX = 20
-- Interval in milliseconds at which the first tasks of a long line are examined again. Tasks behind them that expire
-- are found then, or when it is their turn.
local LINE_AGAIN_MS = 60000

-- Performs the work that is due for the task of a due entry.
local function pass_one(c, id, done)
  local t = read_task(c, id)
  local due = t and t.delayed and next_due(t)
  if not due then
    drop(c, c.due, id)
  elseif tonumber(due) > c.now then
    add(c, c.due, id, due)
  elseif tonumber(t.since) <= c.now then
    leave_line(c, t)
    enter_line(c, t)
    call('HSET', t.key, 'state', state_text(t))
    done.promoted = done.promoted + 1
  else
    fail_task(c, t, EXPIRED)
    done.expired = done.expired + 1
  end
end

-- Takes a task out of a lease that is over.
local function lapse_one(c, id, fence, done)
  local number, t = lease_of(fence), read_task(c, id)
  if not t or t.status ~= RUNNING then return free_fence(c, id, fence) end
  local lease = read_lease(c, number)
  -- The worker may never have received a lease that was never renewed.
  if not lease or letter_of(lease) == 'R' then give_attempt_back(t) end
  done.lapsed[#done.lapsed + 1] = id
  done.lapsed[#done.lapsed + 1] = requeue_or_fail(c, t, 'X', c.now)
end

-- Ends the leases that are over. Returns 1 if more may be.
local function lapse(c, most, done)
  local looked_at, over = 0, {}
  local numbers = call('ZRANGE', LEASES .. c.tag, '-inf', c.at, 'BYSCORE', 'LIMIT', 0, most)
  for _, number in ipairs(numbers) do
    if looked_at >= most then break end
    local fences, ids = held_by(c, number)
    local to = math.min(#ids, most - looked_at)
    for at = 1, to do lapse_one(c, ids[at], fences[ids[at]], done) end
    looked_at = looked_at + to
    if to == #ids then over[#over + 1] = number end
  end
  flush(c)
  for _, number in ipairs(over) do end_lease(c, number) end
  return #over < #numbers and 1 or 0
end

-- Fails the expired ones among the first tasks of a line. Returns the number of failed tasks, the time of the next expiry
-- among them, and true if there may be more tasks.
local function look_at_line(c, line, most)
  local tenant, failed, again = line:match('^[^:]+'), 0, math.huge
  local found, is_fresh = first_of(c, line, 0, 0, most)
  local ready, fresh, over, met = 0, 0, true, {}
  for n, entry in ipairs(found) do
    local t, fresh_one = read_task(c, id_of(entry)), not is_fresh or is_fresh[n]
    local waits = t and t.status == QUEUED and not t.delayed and t.fresh == fresh_one
    if waits and tonumber(t.expires_at) > c.now then
      again, over = math.min(again, tonumber(t.expires_at)), false
    elseif waits then
      fail_task(c, t, EXPIRED)
      failed = failed + 1
    elseif not fresh_one then
      drop(c, ready_key(c, line), id_of(entry))
    end
    -- Entries of fresh tasks that are over can be removed at the front only.
    if over and fresh_one then
      fresh = fresh + 1
      met[fresh] = id_of(entry)
    end
  end
  flush(c)
  take_first(c, tenant, line, 0, fresh, met)
  return failed, again, #found == most
end

-- Fails expired tasks in the lines that are due.
local function look_at_lines(c, most, done)
  local lines = call('ZRANGE', LINES .. c.tag, '-inf', c.at, 'BYSCORE', 'LIMIT', 0, LINES_MAX)
  for _, line in ipairs(lines) do
    local failed, again, more = look_at_line(c, line, most)
    if more then again = failed > 0 and c.now or math.min(again, c.now + LINE_AGAIN_MS) end
    if again == math.huge then
      call('ZREM', LINES .. c.tag, line)
    else
      call('ZADD', LINES .. c.tag, text(again), line)
    end
    done.expired = done.expired + failed
  end
  return #lines > 0 and 1 or 0
end

-- Time in milliseconds after which a running task's status says so, and number of leases examined for it in one call.
-- Most tasks end before, and others can hardly read so soon.
local MARK_MS, MARKED_MAX = 100, 1000

-- Writes the status of the tasks of leases that have lasted for a while. A lease of a clock that ran ahead is one.
-- Returns 1 if more may be.
local function mark(c, most)
  local key, passed, running = UNMARKED .. c.tag, 0, {}
  local fresh = call('LRANGE', key, 0, MARKED_MAX - 1)
  for _, lease in ipairs(fresh) do
    local age = c.now - tonumber(lease:sub(1, 16))
    if age >= 0 and age < MARK_MS or #running >= most then break end
    passed = passed + 1
    local _, ids = held_by(c, lease:sub(17))
    for _, id in ipairs(ids) do running[#running + 1] = id end
  end
  local known = existing(c, running)
  if passed > 0 then call('LTRIM', key, passed, -1) end
  for _, id in ipairs(running) do
    if known[id] then try_call('HSET', c.tasks .. id, 'status', RUNNING) end
  end
  return passed == MARKED_MAX and 1 or 0
end

-- Largest number of passes: a task can be due twice, for the next attempt and then for its expiry.
local PASSES = 2

define('tick', { 'allow-oom' }, function(args)
  local c = begin(args)
  local most, done = tonumber(args[OWN]), { lapsed = {}, promoted = 0, expired = 0 }
  local more = math.max(lapse(c, most, done), mark(c, most))
  for _ = 1, PASSES do
    local due = call('ZRANGE', c.due, '-inf', c.at, 'BYSCORE', 'LIMIT', 0, most)
    if #due == 0 then break end
    if #due >= most then more = 1 end
    for _, id in ipairs(due) do pass_one(c, id, done) end
    flush(c)
  end
  more = math.max(more, look_at_lines(c, most, done))
  local purged = purge(c, most)
  if purged >= most then more = 1 end
  return { more, done.promoted, done.expired, purged, done.lapsed }
end)
