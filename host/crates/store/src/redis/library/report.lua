-- Reports on tasks: lease renewals, ends and cancellations. Reports other than the current lease holder's change
-- nothing.

local function fence(t) return t.attempt .. ' ' .. t.token end

-- beat: renews leases.
define('beat', { 'allow-oom' }, function(args)
  local c = begin(args)
  local lease_until = text(c.now + tonumber(args[OWN]))
  local answers = {}
  for at = OWN + 1, #args, 2 do
    local t = read_task(c, args[at])
    if t and t.status == RUNNING and fence(t) == args[at + 1] then
      t.lease_until, t.renewed = lease_until, true
      call('HSET', t.key, 'record', record_text(t))
      add(c, c.due, t.id, lease_until)
      answers[#answers + 1] = 1
    else
      answers[#answers + 1] = 0
    end
  end
  flush(c)
  return answers
end)

-- Pattern of a running task's record, with the parts that an end needs: fence, the unchanged rest, time of acceptance,
-- tenant, and version.
local HELD = '^[RB] (%d+ %S+) %d+ (%S+ %S+ (%d+) %d+ %S+ %S+ %a+ %d+ %d+ (%S+) %S+ (%S+) .*)$'

-- Ends the attempt, but not the task unless no attempt is left.
local function give_back(c, id, verdict, delay)
  local t = read_task(c, id)
  if verdict == 'release' then give_attempt_back(t) end
  return requeue_or_fail(c, t, c.now + tonumber(delay))
end

-- `verdict` is `end`, `dead` for an end that makes a dead letter, `retry` or `release`; for the latter two, `output` is
-- the delay in milliseconds.
local function finish_one(c, id, claim, verdict, output, receipt, log, failure)
  local record = try_call('HGET', c.tasks .. id, 'record')
  local held, stays, created_at, tenant, version = (type(record) == 'string' and record or ''):match(HELD)
  if held ~= claim then
    local t = read_task(c, id)
    return t and is_ended(t.status) and fence(t) == claim and 'DUPLICATE' or 'STALE'
  end
  if verdict == 'retry' or verdict == 'release' then return give_back(c, id, verdict, output) end
  leave_lease(c, id, tenant)
  local status = failure == '' and COMPLETED or FAILED
  local ended = LETTER[status] .. ' ' .. held .. ' ' .. c.at .. ' ' .. stays .. ' ' .. receipt
  local more = {}
  if output ~= '' then more[1], more[2] = 'result', output end
  if log ~= '' then more[#more + 1], more[#more + 2] = 'log', log end
  if failure ~= '' then more[#more + 1], more[#more + 2] = 'error', failure end
  end_task(c, id, tenant, version, created_at, status, ended, verdict == 'dead', unpack(more))
  return status
end

-- finish: records reports.
define('finish', { 'allow-oom' }, function(args)
  local c = begin(args)
  local answers = {}
  for at = OWN, #args, 7 do
    answers[#answers + 1] = finish_one(c, unpack(args, at, at + 6))
  end
  flush(c)
  return answers
end)

-- cancel: fails a task that has not ended. Returns a word for the outcome, and the worker of a running attempt.
define('cancel', { 'allow-oom' }, function(args)
  local c = begin(args)
  local t = read_task(c, args[OWN + 1])
  if not t or t.tenant ~= args[OWN] then return { 'NONE', '' } end
  if is_ended(t.status) then return { t.status, '' } end
  local worker = ''
  if t.status == RUNNING then
    worker = t.worker
    c.cancelled[1] = t.id
  end
  fail_task(c, t, CANCELLED)
  flush(c)
  return { 'CANCELLED', worker }
end)
