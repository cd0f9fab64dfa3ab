-- Tasks: the texts that decide about one, its moves between the indexes, and the one routine for every end.

local STATUS = { Q = QUEUED, D = QUEUED, C = COMPLETED, F = FAILED }
local LETTER = { [COMPLETED] = 'C', [FAILED] = 'F' }
local ENDED_LETTERS = { C = true, F = true }

-- Absent token or worker.
local NO_ID = '----------------------'

local function counted(number) return string.format('%010.0f', number) end

-- Returns the text of a size, which tasks of a call often share.
local function size_text(c, form, bytes)
  local texts = entries(c.texts, form)
  local known = texts[bytes]
  if not known then
    known = string.format(form, bytes)
    texts[bytes] = known
  end
  return known
end

-- First letters of the states of a new task behind its letter, up to its due time, and those behind that time.
local NEW, NO_RELEASES = '0000000000' .. NO_ID, '00'
-- First attempt, as in a fence.
local FIRST = '0000000001'

local function state_text(t)
  local letter = t.delayed and 'D' or LETTER[t.status] or 'Q'
  return letter .. counted(t.attempt) .. t.token .. t.since .. string.format('%02.0f', t.releases) .. (t.stored or '')
end

-- Places in a record: time of acceptance, expiry, size of the input, version, time for which a completed or cancelled
-- task and a dead letter is kept, in seconds of 7 digits, and the start of the words behind them, of which the tenant is
-- the first.
local function created_in(record) return sub(record, 1, 16) end
local function expiry_in(record) return sub(record, 18, 33) end
local function input_bytes_in(record) return tonumber(sub(record, 35, 44)) or 0 end
local function version_in(record) return sub(record, 46, 67) end
local function kept_in(record, dead) return dead and sub(record, 121, 127) or sub(record, 113, 119) end
local WORDS = 129
local RECORD_WORDS = '^(%S+) %S+ (%a+) (%d+) %S+ %S+ %S+ %S+ %S+ (%S+)'

-- Returns the tenant of a record. Tasks of one version have the same.
local function tenant_in(c, record)
  local version = version_in(record)
  local known = c.tenants[version]
  if not known then
    known = record:match('^%S+', WORDS)
    c.tenants[version] = known
  end
  return known
end

-- Places in a state.
local function letter_in(state) return sub(state, 1, 1) end
local function claim_in(state) return sub(state, 2, 33) end
local function since_in(state) return sub(state, 34, 49) end
local function releases_in(state) return sub(state, 50, 51) end
-- Bytes that are counted for an ended task.
local function bytes_in(state) return tonumber(sub(state, 52, 67)) or 0 end

-- Returns the state of a task as others see it: that of a running one is made of its fence and its lease.
local function shown_state(c, id, state)
  if state and ENDED_LETTERS[letter_in(state)] then return state end
  local fence = call('HGET', c.leased, id)
  if not fence then return state end
  local lease = read_lease(c, lease_of(fence)) or 'R' .. c.padded .. NO_ID
  return letter_of(lease) .. fence:sub(1, 50) .. lease:sub(2, 39)
end

-- Returns the data that decide about a task; nil if it does not exist or cannot be read.
local function read_task(c, id)
  local key = c.tasks .. id
  local found = try_call('HMGET', key, 'record', 'state')
  local record = found[1]
  if not record then return nil end
  local state = found[2] or 'Q' .. NEW .. created_in(record) .. NO_RELEASES
  local tenant, priority, attempts_max, fingerprint = record:match(RECORD_WORDS, WORDS)
  local letter, attempt, releases = letter_in(state), tonumber(sub(state, 2, 11)), tonumber(releases_in(state))
  if not tenant or not STATUS[letter] or not attempt or not releases then return nil end
  local t = {
    id = id, key = key, record = record, created_at = created_in(record), expires_at = expiry_in(record),
    tenant = tenant, priority = priority, fingerprint = fingerprint, status = STATUS[letter], delayed = letter == 'D', fresh = not found[2],
    attempt = attempt, token = sub(state, 12, 33), since = since_in(state), releases = releases,
    attempts_max = attempts_max + releases, stored = sub(state, 52, 67),
  }
  local fence = t.status == QUEUED and call('HGET', c.leased, id)
  if fence then
    t.status, t.delayed, t.attempt, t.token = RUNNING, false, tonumber(fence:sub(1, 10)), fence:sub(11, 32)
    t.since, t.lease = since_of(fence), lease_of(fence)
  end
  return t
end

local function is_ended(status) return status == COMPLETED or status == FAILED end

-- Returns the time at which a delayed task is due, for lease or for its expiry. A ready one has no such entry, since
-- its line is examined instead: an entry per task would be the largest cost of all, and most are leased long before.
local function next_due(t)
  return tonumber(t.since) < tonumber(t.expires_at) and t.since or t.expires_at
end

-- Queues a task that comes back by its time of acceptance. The caller writes its state, so that it is not fresh any more.
local function enter_line(c, t)
  t.status, t.token = QUEUED, NO_ID
  t.delayed = tonumber(t.since) > c.now
  if t.delayed then
    add(c, c.due, t.id, next_due(t))
    count(c, t.tenant, 'delayed', 1)
  else
    add(c, ready_key(c, line_of(t.tenant, t.priority)), t.id, t.created_at)
    expires_in(c, line_of(t.tenant, t.priority), t.expires_at)
    c.ready[t.tenant] = (c.ready[t.tenant] or 0) + 1
  end
end

-- The entry of a fresh task stays until someone meets it, who knows it by the set of gone ids.
local function leave_line(c, t)
  if t.delayed then
    drop(c, c.due, t.id)
    count(c, t.tenant, 'delayed', -1)
  elseif t.fresh then
    local gone = entries(c.gone, t.tenant)
    gone[#gone + 1] = t.id
  else
    drop(c, ready_key(c, line_of(t.tenant, t.priority)), t.id)
  end
end

-- Returns the bytes that are counted for a task.
local function bytes_of_task(t)
  if is_ended(t.status) then return tonumber(t.stored) or 0 end
  return RECORD_BYTES + input_bytes_in(t.record)
end

-- Counts what is stored of a task from its end on: `kept` bytes, and the input of a dead letter. Returns the number of
-- bytes for its state.
local function count_end(c, tenant, record, dead, kept)
  local input = input_bytes_in(record)
  if dead then kept = kept + input end
  count_bytes(c, tenant, kept - input)
  return size_text(c, '%016.0f', RECORD_BYTES + kept)
end

-- The one routine for every end. `dead` marks a dead letter, which keeps its input; the further arguments are
-- additional fields.
local function end_task(c, key, id, tenant, record, status, state, dead, ...)
  count(c, tenant, version_in(record), -1)
  if dead then
    call('HSET', key, 'status', status, 'state', state, ...)
    add(c, tenant_key(c, DEAD, tenant), c.padded .. id, 0)
  else
    call('HSET', key, 'status', status, 'state', state, 'param_payload', '', ...)
  end
  local forgotten = entries(c.forgotten, kept_in(record, dead) .. (dead and 'D' or '-') .. tenant)
  forgotten[#forgotten + 1] = id
end

-- Fails a task without a report of an attempt.
local function fail_task(c, t, failure)
  if t.status == RUNNING then leave_lease(c, t.id, t.lease, t.tenant) else leave_line(c, t) end
  t.status, t.delayed, t.since, t.token = FAILED, false, c.padded, NO_ID
  t.stored = count_end(c, t.tenant, t.record, failure.dead, failure.bytes)
  end_task(c, t.key, t.id, t.tenant, t.record, FAILED, state_text(t), failure.dead, 'error', failure.json)
end

-- Allows the task one more attempt, in place of one that does not count. The record's number is not changed: each
-- release adds one to it.
local function give_attempt_back(t)
  if tonumber(t.releases) < RELEASES_MAX then
    t.releases = t.releases + 1
    t.attempts_max = t.attempts_max + 1
  end
end

-- Ends an attempt without a result: queues the task for another attempt, or fails it if none is left.
local function requeue_or_fail(c, t, not_before)
  if tonumber(t.attempt) >= tonumber(t.attempts_max) then
    fail_task(c, t, EXHAUSTED)
    return FAILED
  end
  leave_lease(c, t.id, t.lease, t.tenant)
  t.since = padded(not_before)
  enter_line(c, t)
  call('HSET', t.key, 'status', QUEUED, 'state', state_text(t))
  c.changed[#c.changed + 1] = t.id
  return QUEUED
end
