-- What is reported on a task: beats, ends, cancellations. Only the holder of the current lease is heard.

local function held(t, attempt, token)
  return t and t.status == RUNNING and t.attempt == attempt and t.token == token
end

-- beat: renews leases.
define('beat', { 'allow-oom' }, function(args)
  local c = begin(args)
  local lease_until = c.now + tonumber(args[OWN])
  local answers = {}
  for at = OWN + 1, #args, 3 do
    local t = read_task(c, args[at])
    if held(t, args[at + 1], args[at + 2]) then
      redis.call('HSET', t.key, 'lease_until', lease_until)
      put(c, LEASED .. c.tag, t.id, lease_until)
      answers[#answers + 1] = 1
    else
      answers[#answers + 1] = 0
    end
  end
  flush(c)
  return answers
end)

local function finish_one(c, id, attempt, token, verdict, failure, dead, output, log, receipt, delay)
  local t = read_task(c, id)
  if t and is_ended(t.status) and t.attempt == attempt and t.token == token then return 'DUPLICATE' end
  if not held(t, attempt, token) then return 'STALE' end
  if verdict == 'retry' then return requeue_or_fail(c, t, c.now + tonumber(delay)) end
  if verdict == 'release' then
    if tonumber(t.releases) < RELEASES_MAX then
      t.releases = t.releases + 1
      t.attempts_max = t.attempts_max + 1
    end
    return requeue_or_fail(c, t, c.now)
  end
  local fields = { 'result', output, 'receipt', receipt }
  if log ~= '' then
    fields[#fields + 1] = 'log'
    fields[#fields + 1] = log
  end
  if failure == '' then
    end_task(c, t, COMPLETED, false, false, fields)
    return COMPLETED
  end
  fields[#fields + 1] = 'error'
  fields[#fields + 1] = failure
  end_task(c, t, FAILED, dead == '1', false, fields)
  return FAILED
end

-- finish: records reports.
define('finish', { 'allow-oom' }, function(args)
  local c = begin(args)
  local answers = {}
  for at = OWN, #args, 10 do
    answers[#answers + 1] = finish_one(c, unpack(args, at, at + 9))
  end
  flush(c)
  return answers
end)

-- cancel: fails a task that has not ended. Gives the word for what it found, and who ran it.
define('cancel', { 'allow-oom' }, function(args)
  local c = begin(args)
  local t = read_task(c, args[OWN + 1])
  if not t or t.tenant ~= args[OWN] then return { 'NONE', '' } end
  if is_ended(t.status) then return { t.status, '' } end
  local worker = ''
  if t.status == RUNNING then
    worker = t.worker or ''
    c.cancelled[1] = t.id
  end
  fail_task(c, t, CANCELLED)
  flush(c)
  return { 'CANCELLED', worker }
end)
