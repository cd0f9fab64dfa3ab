-- Reports on tasks: lease renewals, ends and cancellations. Reports other than the current lease holder's change
-- nothing.

-- Returns the lease that a renewal makes for an old one: one for each worker and tenant.
local function lease_for(c, leases, number, old_number, old)
  local holder = old:sub(18)
  local lease = leases[holder]
  if not lease then
    leases.many = leases.many + 1
    lease = {
      number = number .. 'B' .. leases.many, worker = worker_of(old), tenant = sub(old, 40), held = {},
      by = by_of(c, old_number),
    }
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
      local held = lease_for(c, leases, number, lease_of(fence), old).held
      held[#held + 1], held[#held + 2] = id, fence:sub(1, 76)
      c.left[lease_of(fence)] = (c.left[lease_of(fence)] or 0) + 1
    end
  end
  for _, lease in ipairs(leases) do
    for at = 2, #lease.held, 2 do lease.held[at] = lease.held[at] .. lease.number end
    write_lease(c, lease.number, 'B', lease_until, lease.worker, lease.tenant, lease.held, lease.by)
  end
  flush(c)
  return answers
end)

-- Ends an attempt that leads to no end of its task unless no attempt is left.
local function give_back(c, id, fence, verdict, delay)
  local t = read_task(c, id)
  if not t or t.status ~= RUNNING then
    free_fence(c, id, fence)
    return 'STALE'
  end
  if verdict == 'release' then give_attempt_back(t) end
  return requeue_or_fail(c, t, verdict == 'release' and 'R' or 'L', c.now + tonumber(delay))
end

-- Returns the answer to a report without the current lease.
local function late(c, id, claim)
  local state = try_call('HGET', c.tasks .. id, 'state')
  local same = type(state) == 'string' and claim_in(state) == claim and is_ended(STATUS[letter_in(state)])
  return same and 'DUPLICATE' or 'STALE'
end

-- Numbers of arguments of a report, and of one of an end with an output and without a log or failure, which is most.
local REPORT, WHOLE, SHORT_REPORT = 7, 'ok', 5

local function input_bytes_in_fence(fence) return tonumber(sub(fence, 51, 60)) end

-- Reads what the reports of a call are about: the places of their arguments, their ids and fences, and the kinds of those
-- by the attempts that hold them. Answers to the others, which change nothing. Of two reports of one attempt only the
-- first counts.
local function read_reports(c, args)
  local ids, rows, kinds, seen, answers, many, at = {}, {}, {}, {}, {}, 0, OWN
  local id = args[at]
  while id do
    many = many + 1
    rows[many], ids[many] = at, id
    at = at + (args[at + 2] == WHOLE and SHORT_REPORT or REPORT)
    id = args[at]
  end
  local fences, known = ask_chunks('HMGET', c.leased, ids), c.kinds
  for n = 1, many do
    local id, claim, fence = ids[n], args[rows[n] + 1], fences[n]
    local first = seen[id]
    if first then
      answers[n] = first == claim and 'DUPLICATE' or 'STALE'
    elseif not fence or sub(fence, 1, 32) ~= claim then
      answers[n] = late(c, id, claim)
    else
      local name, verdict = sub(fence, 61, 76), args[rows[n] + 2]
      local kind = known[name] or kind_of(c, name)
      if not kind then
        free_fence(c, id, fence)
        answers[n], seen[id] = 'STALE', 'none'
      else
        kinds[n], seen[id] = kind, verdict ~= 'retry' and verdict ~= 'release' and claim or 'none'
      end
    end
  end
  return { ids = ids, rows = rows, fences = fences, kinds = kinds, answers = answers }
end

-- Returns the size of a failure's texts.
local function text_bytes(json)
  if json == '' then return 0 end
  local failure = cjson.decode(json)
  local bytes = #failure.message
  for _, frame in ipairs(failure.backtrace) do bytes = bytes + #frame end
  return bytes
end

-- Writes the end of a task with a log or a failure, or without an output. Returns the number of fields that are new, and of
-- those that are written.
local function write_end(key, status, state, dead, output, receipt, log, failure)
  local more = { 'receipt', receipt }
  if not dead then more[3], more[4] = 'param_payload', '' end
  if output ~= '' then more[#more + 1], more[#more + 2] = 'result', output end
  if log ~= '' then more[#more + 1], more[#more + 2] = 'log', log end
  if failure ~= '' then more[#more + 1], more[#more + 2] = 'error', failure end
  return try_call('HSET', key, 'status', status, 'state', state, unpack(more)), 2 + #more / 2
end

-- Records an end with more than an output. Returns its status; nil if there is no such task, as in `finish_whole`.
local function finish_one(c, args, at, id, fence, kind)
  local claim, verdict, output, receipt, log, failure = unpack(args, at + 1, at + 6)
  local key, input, dead = c.tasks .. id, input_bytes_in_fence(fence), verdict == 'dead'
  local status = failure == '' and COMPLETED or FAILED
  local bytes = bytes_at_end(kind, dead, input, #output + #log + text_bytes(failure))
  local state = LETTER[status] .. claim .. c.padded .. sub(fence, 49, 50) .. stored_text(bytes)
  local new, all = write_end(key, status, state, dead, output, receipt, log, failure)
  if new == all then call('UNLINK', key) end
  if new == all or type(new) ~= 'number' then return nil end
  count_end(c, id, kind, input, dead, bytes)
  return status
end

-- Numbers of new fields of a task that was there: it has one of them at least. If all are new, somebody removed its record by
-- hand, which is not read; then the attempt ends with it. What is no hash is left alone.
local WHOLE_FIELDS, THERE = 5, { [0] = true, true, true, true, true }

-- Records the ends with an output alone, of which most calls have many.
local function finish_whole(c, args, reports)
  local rows, fences, kinds, answers = reports.rows, reports.fences, reports.kinds, reports.answers
  local tasks, now, sizes, inputs, ends = c.tasks, c.padded, {}, {}, {}
  for n, id in ipairs(reports.ids) do
    local kind, at = kinds[n], rows[n]
    if kind and args[at + 2] == WHOLE then
      local fence, output = fences[n], args[at + 3]
      local bytes, before = kind.record_bytes + #output, sub(fence, 51, 60)
      local size, input, ended = sizes[bytes], inputs[before], ends[kind]
      if not size then
        size = stored_text(bytes)
        sizes[bytes] = size
      end
      if not input then
        input = tonumber(before)
        inputs[before] = input
      end
      if not ended then
        ended = ends_of(c, kind, false)
        ends[kind] = ended
      end
      local key = tasks .. id
      local new = try_call('HSET', key, 'status', COMPLETED, 'state', 'C' .. args[at + 1] .. now .. sub(fence, 49, 50) .. size,
        'param_payload', '', 'receipt', args[at + 4], 'result', output)
      leave_lease(c, id, sub(fence, 77), kind.tenant)
      if THERE[new] then
        local many = ended.many + 1
        ended.many, ended.ids[many], ended.bytes[many] = many, id, bytes
        ended.change = ended.change + #output - input
        answers[n] = COMPLETED
      else
        if new == WHOLE_FIELDS then call('UNLINK', key) end
        answers[n] = 'STALE'
      end
    end
  end
end

-- finish: records reports, each with a verdict: `ok`; `end` or `dead` for other ends and those that make a dead letter, with
-- a log and a failure; `retry` or `release` with the delay in milliseconds as its output.
define('finish', { 'allow-oom' }, function(args)
  local c = begin(args)
  local reports = read_reports(c, args)
  local answers = reports.answers
  finish_whole(c, args, reports)
  for n, id in ipairs(reports.ids) do
    if not answers[n] then
      local at, fence, kind = reports.rows[n], reports.fences[n], reports.kinds[n]
      local verdict = args[at + 2]
      if verdict == 'retry' or verdict == 'release' then
        answers[n] = give_back(c, id, fence, verdict, args[at + 3])
      else
        answers[n] = finish_one(c, args, at, id, fence, kind) or 'STALE'
        leave_lease(c, id, lease_of(fence), kind.tenant)
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
    note_attempt(c, t, 'C')
  end
  fail_task(c, t, CANCELLED)
  flush(c)
  return { 'CANCELLED', worker }
end)
