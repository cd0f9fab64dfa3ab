-- Tasks: the texts that decide about one, its moves between the indexes, and the one routine for every end.

local STATUS = { Q = QUEUED, D = QUEUED, C = COMPLETED, F = FAILED }
local LETTER = { [COMPLETED] = 'C', [FAILED] = 'F' }
local ENDED_LETTERS = { C = true, F = true }

-- Absent token or worker.
local NO_ID = '----------------------'

local function counted(number) return string.format('%010d', number) end

-- Formats the bytes that are counted for an ended task.
local function stored_text(bytes) return string.format('%013d', bytes) end

-- First letters of the states of a new task behind its letter, up to its due time, and those behind that time.
local NEW, NO_RELEASES = '0000000000' .. NO_ID, '00'
-- First attempt, as in a fence.
local FIRST = '0000000001'

local function state_text(t)
  local letter = t.delayed and 'D' or LETTER[t.status] or 'Q'
  return letter .. counted(t.attempt) .. t.token .. t.since .. string.format('%02d', t.releases) .. (t.stored or '')
end

-- Places in a record: time of acceptance, expiry, size of the input, kind, and the words that few tasks have, of which the
-- first one is the fingerprint. What the end of a task needs of it is also in the task's fence.
local RECORD_LETTERS = 58
local function created_in(record) return sub(record, 1, 16) end
local function expiry_in(record) return sub(record, 17, 32) end
local function input_bytes_in(record) return tonumber(sub(record, 33, 42)) or 0 end
local function kind_in(record) return sub(record, 43, 58) end
local function for_end_in(record) return sub(record, 33, 58) end
local function fingerprint_in(words) return words:match('^ (%S+)') or '-' end

-- Places in a state.
local function letter_in(state) return sub(state, 1, 1) end
local function claim_in(state) return sub(state, 2, 33) end
local function since_in(state) return sub(state, 34, 49) end
local function releases_in(state) return sub(state, 50, 51) end
-- Bytes that are counted for an ended task.
local function bytes_in(state) return tonumber(sub(state, 52, 64)) or 0 end

-- Returns the dispatcher of a lease; dashes if it is not known.
local function by_of(c, number)
  local known = c.dispatchers[number]
  if not known then
    known = call('HGET', lease_key(c, number), 'by')
    known = known and known ~= '' and known or NO_ID
    c.dispatchers[number] = known
  end
  return known
end

-- Returns the state of a task as others see it: that of a running one is made of its fence and its lease.
local function shown_state(c, id, state)
  if state and ENDED_LETTERS[letter_in(state)] then return state end
  local fence = call('HGET', c.leased, id)
  if not fence then return state end
  local number = lease_of(fence)
  local lease = read_lease(c, number) or 'R' .. c.padded .. NO_ID
  return letter_of(lease) .. fence:sub(1, 50) .. lease:sub(2, 39) .. by_of(c, number)
end

-- Returns the data that decide about a task; nil if it does not exist or cannot be read.
local function read_task(c, id)
  local key = c.tasks .. id
  local found = try_call('HMGET', key, 'record', 'state')
  local record = found[1]
  if not record then return nil end
  local state = found[2] or 'Q' .. NEW .. created_in(record) .. NO_RELEASES
  local kind, letter = kind_of(c, kind_in(record)), letter_in(state)
  local attempt, releases = tonumber(sub(state, 2, 11)), tonumber(releases_in(state))
  if not kind or not STATUS[letter] or not attempt or not releases then return nil end
  local t = {
    id = id, key = key, record = record, created_at = created_in(record), expires_at = expiry_in(record),
    kind = kind, tenant = kind.tenant, priority = kind.priority, fingerprint = fingerprint_in(sub(record, RECORD_LETTERS + 1)),
    status = STATUS[letter], delayed = letter == 'D', fresh = not found[2],
    attempt = attempt, token = sub(state, 12, 33), since = since_in(state), releases = releases,
    attempts_max = kind.attempts_max + releases, stored = sub(state, 52, 64),
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
  return t.kind.record_bytes + input_bytes_in(t.record)
end

-- Returns the bytes that are counted for an ended task of a kind, of which `kept` bytes and the input of a dead letter are left.
local function bytes_at_end(kind, dead, input, kept)
  return kind.record_bytes + kept + (dead and input or 0)
end

-- Returns the ends of a call of tasks of a kind, or those that make dead letters. `change` is that of the stored bytes.
local function ends_of(c, kind, dead)
  local ends = entries(c.forgotten, dead)
  local ended = ends[kind]
  if not ended then
    ended = { many = 0, ids = {}, bytes = {}, change = 0 }
    ends[kind] = ended
  end
  return ended
end

-- Counts an end that was written, of a task of a kind and with an input of `input` bytes, for which `bytes` are counted.
-- `dead` marks a dead letter, which keeps its input.
local function count_end(c, id, kind, input, dead, bytes)
  local ended = ends_of(c, kind, dead)
  local many = ended.many + 1
  ended.many, ended.ids[many], ended.bytes[many] = many, id, bytes
  ended.change = ended.change + bytes - kind.record_bytes - input
  if dead then add(c, tenant_key(c, DEAD, kind.tenant), c.padded .. id, 0) end
end

-- Fails a task without a report of an attempt.
local function fail_task(c, t, failure)
  if t.status == RUNNING then leave_lease(c, t.id, t.lease, t.tenant) else leave_line(c, t) end
  t.status, t.delayed, t.since, t.token = FAILED, false, c.padded, NO_ID
  local input = input_bytes_in(t.record)
  local bytes = bytes_at_end(t.kind, failure.dead, input, failure.bytes)
  t.stored = stored_text(bytes)
  if failure.dead then
    call('HSET', t.key, 'status', FAILED, 'state', state_text(t), 'error', failure.json)
  else
    call('HSET', t.key, 'status', FAILED, 'state', state_text(t), 'error', failure.json, 'param_payload', '')
  end
  count_end(c, t.id, t.kind, input, failure.dead, bytes)
end

-- Records that the attempt of a running task is over: its number, worker and dispatcher, its start and end, and the reason:
-- `L` for a lost worker, `R` for a return, `X` for a lease that has lapsed, `C` for a cancellation. Each takes 87 letters.
local function note_attempt(c, t, why)
  local lease = read_lease(c, t.lease)
  local worker = lease and worker_of(lease) or NO_ID
  local before = try_call('HGET', t.key, 'past')
  local past = (type(before) == 'string' and before or '') .. counted(t.attempt) .. worker .. by_of(c, t.lease) .. t.since
    .. c.padded .. why
  call('HSET', t.key, 'past', sub(past, -87 * PAST_ATTEMPTS_MAX))
end

-- Tags of tasks. In one table, since Lua allows 200 names at a time.
local tags = {}

-- Returns the tags in a record, with commas between them.
function tags.of(record) return record:match('^ %S+ %S+ %S+ (%S+)', RECORD_LETTERS + 1) or '' end

-- Returns the indexes of some tags of a tenant.
function tags.keys(c, tenant, text)
  local keys = {}
  for tag in text:gmatch('[^,]+') do keys[#keys + 1] = tenant_key(c, TAGGED, tenant) .. ':' .. tag end
  return keys
end

-- Removes the index entries of a task's tags.
function tags.drop(c, tenant, id, record)
  for _, key in ipairs(tags.keys(c, tenant, tags.of(record))) do drop(c, key, created_in(record) .. id) end
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
local function requeue_or_fail(c, t, why, not_before)
  note_attempt(c, t, why)
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
