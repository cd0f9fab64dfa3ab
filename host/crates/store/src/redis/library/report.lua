-- Reports on tasks: lease renewals, ends and cancellations. Reports other than the current lease holder's change
-- nothing.

local function fence(t) return counted(t.attempt) .. t.token end

-- beat: renews leases.
define('beat', { 'allow-oom' }, function(args)
  local c = begin(args)
  local lease_until = padded(c.now + tonumber(args[OWN]))
  local answers = {}
  for at = OWN + 1, #args, 2 do
    local t = read_task(c, args[at])
    if t and t.status == RUNNING and fence(t) == args[at + 1] then
      t.lease_until, t.renewed = lease_until, true
      call('HSET', t.key, 'state', state_text(t))
      add(c, c.due, t.id, lease_until)
      answers[#answers + 1] = 1
    else
      answers[#answers + 1] = 0
    end
  end
  flush(c)
  return answers
end)

-- Ends the attempt, but not the task unless no attempt is left.
local function give_back(c, id, verdict, delay)
  local t = read_task(c, id)
  if verdict == 'release' then give_attempt_back(t) end
  return requeue_or_fail(c, t, c.now + tonumber(delay))
end

-- Returns the size of a failure's texts.
local function text_bytes(json)
  if json == '' then return 0 end
  local failure = cjson.decode(json)
  local bytes = #failure.message
  for _, frame in ipairs(failure.backtrace) do bytes = bytes + #frame end
  return bytes
end

-- `verdict` is `end`, `dead` for an end that makes a dead letter, `retry` or `release`; for the latter two, `output` is
-- the delay in milliseconds.
local function finish_one(c, id, claim, verdict, output, receipt, log, failure)
  local found = try_call('HMGET', c.tasks .. id, 'record', 'state')
  local record, state = found[1], found[2]
  if not record or not state or claim_in(state) ~= claim then return 'STALE' end
  local letter, gap = letter_in(state), record:find(' ', WORDS, true)
  if letter == 'C' or letter == 'F' then return 'DUPLICATE' end
  if letter ~= 'R' and letter ~= 'B' or not gap then return 'STALE' end
  local tenant = record:sub(WORDS, gap - 1)
  if verdict == 'retry' or verdict == 'release' then return give_back(c, id, verdict, output) end
  leave_lease(c, id, tenant)
  local status = failure == '' and COMPLETED or FAILED
  local stored = count_end(c, tenant, record, verdict == 'dead', #output + #log + text_bytes(failure))
  local ended = LETTER[status] .. claim .. c.padded .. stored .. state:sub(66)
  local more = { 'receipt', receipt }
  if output ~= '' then more[3], more[4] = 'result', output end
  if log ~= '' then more[#more + 1], more[#more + 2] = 'log', log end
  if failure ~= '' then more[#more + 1], more[#more + 2] = 'error', failure end
  end_task(c, id, tenant, record, status, ended, verdict == 'dead', unpack(more))
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
