-- Reports on tasks: lease renewals, ends and cancellations. Reports other than the current lease holder's change
-- nothing.

-- Returns the lease that a renewal makes for an old one: one for each worker and tenant.
local function lease_for(c, leases, number, old)
  local holder = old:sub(18)
  local lease = leases[holder]
  if not lease then
    leases.many = leases.many + 1
    lease = { number = number .. 'B' .. leases.many, worker = worker_of(old), tenant = sub(old, 40), held = {} }
    leases[holder] = lease
    leases[leases.many] = lease
  end
  return lease
end

-- beat: renews leases. The tasks move to a new lease, whose number starts with the given one.
define('beat', { 'allow-oom' }, function(args)
  local c = begin(args)
  local lease_until, number = padded(c.now + tonumber(args[OWN])), args[OWN + 1]
  local ids, answers, moved, leases = {}, {}, {}, { many = 0 }
  for at = OWN + 2, #args, 2 do ids[#ids + 1] = args[at] end
  local fences, known = ask_chunks('HMGET', c.leased, ids), existing(c, ids)
  for n, id in ipairs(ids) do
    local fence, old = fences[n], nil
    if fence and known[id] and claim_of(fence) == args[OWN + 1 + 2 * n] then old = read_lease(c, lease_of(fence)) end
    answers[n] = old and 1 or 0
    if old and not moved[id] then
      moved[id] = true
      local held = lease_for(c, leases, number, old).held
      held[#held + 1], held[#held + 2] = id, fence:sub(1, 50)
      c.left[lease_of(fence)] = (c.left[lease_of(fence)] or 0) + 1
    end
  end
  for _, lease in ipairs(leases) do
    for at = 2, #lease.held, 2 do lease.held[at] = lease.held[at] .. lease.number end
    write_lease(c, lease.number, 'B', lease_until, lease.worker, lease.tenant, lease.held)
  end
  flush(c)
  return answers
end)

-- Ends an attempt that leads to no end of its task unless no attempt is left.
local function give_back(c, id, verdict, delay)
  local t = read_task(c, id)
  if not t or t.status ~= RUNNING then return 'STALE' end
  if verdict == 'release' then give_attempt_back(t) end
  return requeue_or_fail(c, t, c.now + tonumber(delay))
end

-- Returns the answer to a report without the current lease.
local function late(c, id, claim)
  local state = try_call('HGET', c.tasks .. id, 'state')
  local same = type(state) == 'string' and claim_in(state) == claim and is_ended(STATUS[letter_in(state)])
  return same and 'DUPLICATE' or 'STALE'
end

-- Number of arguments of a report.
local REPORT = 7

-- Reads what the reports of a call are about. Returns the fences and records of those by the attempts that hold them, and
-- an answer to each of the others, which change nothing. Of two reports of one attempt only the first counts. An attempt
-- whose record somebody removed by hand ends with it.
local function read_reports(c, args)
  local ids, seen, records, answers = {}, {}, {}, {}
  for at = OWN, #args, REPORT do ids[#ids + 1] = args[at] end
  local fences = ask_chunks('HMGET', c.leased, ids)
  for n, id in ipairs(ids) do
    local claim, fence, first = args[OWN + 1 + (n - 1) * REPORT], fences[n], seen[id]
    if first then
      answers[n] = first == claim and 'DUPLICATE' or 'STALE'
    elseif fence and sub(fence, 1, 32) == claim then
      local record, verdict = try_call('HGET', c.tasks .. id, 'record'), args[OWN + 2 + (n - 1) * REPORT]
      if type(record) == 'string' then
        records[n] = record
      else
        free_fence(c, id, fence)
        answers[n] = 'STALE'
      end
      seen[id] = records[n] and (verdict == 'end' or verdict == 'dead') and claim or 'none'
    else
      answers[n] = late(c, id, claim)
    end
  end
  return fences, records, answers
end

-- Returns the size of a failure's texts.
local function text_bytes(json)
  if json == '' then return 0 end
  local failure = cjson.decode(json)
  local bytes = #failure.message
  for _, frame in ipairs(failure.backtrace) do bytes = bytes + #frame end
  return bytes
end

-- Records the end of an attempt's task. `verdict` is `end`, or `dead` for an end that makes a dead letter.
local function finish_one(c, fence, record, id, claim, verdict, output, receipt, log, failure)
  local key, number, status = c.tasks .. id, sub(fence, 51), failure == '' and COMPLETED or FAILED
  local tenant = tenant_in(c, record)
  local stored = count_end(c, tenant, record, verdict == 'dead', #output + #log + text_bytes(failure))
  local state = LETTER[status] .. claim .. c.padded .. sub(fence, 49, 50) .. stored
  leave_lease(c, id, number, tenant)
  if verdict == 'end' and output ~= '' and log == '' and failure == '' then
    end_task(c, key, id, tenant, record, status, state, false, 'receipt', receipt, 'result', output)
  else
    local more = { 'receipt', receipt }
    if output ~= '' then more[3], more[4] = 'result', output end
    if log ~= '' then more[#more + 1], more[#more + 2] = 'log', log end
    if failure ~= '' then more[#more + 1], more[#more + 2] = 'error', failure end
    end_task(c, key, id, tenant, record, status, state, verdict == 'dead', unpack(more))
  end
  return status
end

-- finish: records reports, each with a verdict: `end` or `dead` as above, `retry` or `release`; for the latter two, the
-- output is the delay in milliseconds.
define('finish', { 'allow-oom' }, function(args)
  local c = begin(args)
  local fences, records, answers = read_reports(c, args)
  for n = 1, (#args - OWN + 1) / REPORT do
    local record = records[n]
    if record then
      local id, claim, verdict, output, receipt, log, failure = unpack(args, OWN + (n - 1) * REPORT, OWN - 1 + n * REPORT)
      if verdict == 'retry' or verdict == 'release' then
        answers[n] = give_back(c, id, verdict, output)
      else
        answers[n] = finish_one(c, fences[n], record, id, claim, verdict, output, receipt, log, failure)
      end
    end
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
    worker = (read_lease(c, t.lease) or 'R' .. c.padded .. NO_ID):sub(18, 39)
    c.cancelled[1] = t.id
  end
  fail_task(c, t, CANCELLED)
  flush(c)
  return { 'CANCELLED', worker }
end)
