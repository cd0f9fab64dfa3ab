-- Shared parts of every step: time, the moves of a task between the indexes, and the one routine for every end.
--
-- Redis does not undo the writes of a function that fails. So a step first reads and checks a task and then writes its
-- record; index entries, counters and messages are collected and written after all records (`flush`). The record is
-- authoritative: a missing index entry is restored by the audit, and an entry that contradicts its record is dropped by
-- the call that reads it.
--
-- The cost of a task is mostly its Redis commands and the data that passes through them. So commands cover many tasks
-- where possible, and what decides about a task is two texts: its `record`, which is written once, and its `state`.
-- Their parts have fixed places, since a pattern costs more than several `sub`; `records.rs` explains them.

-- Redis's functions, which are not available while the library is loaded.
local call, try_call

local function now_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Formats a number. Redis would write it with all its digits, which is slow.
local function text(number) return string.format('%.0f', number) end

-- Formats a number so that texts sort like the numbers.
local function padded(number) return string.format('%016.0f', tonumber(number)) end

-- Index of the first argument specific to a call. Common to all calls are the partition's hash tag, the time (empty
-- except in tests), and the suffix of channels.
local OWN = 4

local function begin(args)
  call, try_call = redis.call, redis.pcall
  -- Redis's own time, unless a test sets another.
  local now = args[2] == '' and now_ms() or tonumber(args[2])
  return {
    tag = args[1], now = now, at = text(now), padded = padded(now), channels = args[3],
    tasks = TASK .. args[1] .. ':',
    due = DUE .. args[1],
    added = {}, removed = {}, counts = {}, bytes = {}, stored = {}, depths = {}, closed = {}, changed = {}, ended = {}, cancelled = {}, ready = {},
    forgotten = {}, lines = {},
  }
end

local function function_key(c, id) return FUNCTION .. c.tag .. ':' .. id end
local function versions_key(c, tenant, name) return VERSIONS .. c.tag .. ':' .. tenant .. ':' .. name end
local function tenant_key(c, name, tenant) return name .. c.tag .. ':' .. tenant end
-- Name of the line in which the ready tasks of a tenant and a priority are queued.
local function line_of(tenant, priority) return tenant .. ':' .. priority end
local function line_key(c, line) return READY .. c.tag .. ':' .. line end
local function ready_key(c, tenant, priority) return line_key(c, line_of(tenant, priority)) end

local function entries(of, key)
  local known = of[key]
  if not known then
    known = {}
    of[key] = known
  end
  return known
end

-- Adds an index entry in `flush`. Takes precedence over a removal of the same entry in the same call.
local function add(c, key, member, score)
  local added = entries(c.added, key)
  local at = #added
  added[at + 1] = score
  added[at + 2] = member
end

-- Removes an index entry in `flush`.
local function drop(c, key, member)
  local removed = entries(c.removed, key)
  removed[#removed + 1] = member
end

-- Records that a task of a line expires at `at`: the line is examined no later.
local function expires_in(c, line, at)
  at = tonumber(at)
  if at < (c.lines[line] or math.huge) then c.lines[line] = at end
end

local function count(c, tenant, what, change)
  local counts = entries(c.counts, tenant)
  counts[what] = (counts[what] or 0) + change
end

-- Counts bytes that are stored for a tenant, or no longer if negative, in `flush`.
local function count_bytes(c, tenant, change) c.bytes[tenant] = (c.bytes[tenant] or 0) + change end

-- Counts bytes at once. A tenant without any has no entry.
local function add_bytes(c, tenant, change)
  local stored = STORED .. c.tag
  if change ~= 0 and call('HINCRBY', stored, tenant, text(change)) <= 0 then call('HDEL', stored, tenant) end
end

-- Returns the bytes stored for a tenant, with those that this call has counted.
local function stored_bytes(c, tenant)
  local known = c.stored[tenant]
  if not known then
    known = tonumber(call('HGET', STORED .. c.tag, tenant) or 0)
    c.stored[tenant] = known
  end
  return known + (c.bytes[tenant] or 0)
end

-- Lua cannot unpack many more values than this at a time.
local CHUNK = 1000

local function in_chunks(command, key, items)
  for from = 1, #items, CHUNK do
    call(command, key, unpack(items, from, math.min(from + CHUNK - 1, #items)))
  end
end

local function publish(c, channel, ids)
  if #ids > 0 then call('PUBLISH', channel .. c.channels, table.concat(ids, ' ')) end
end

-- Largest number of tasks in one member of the index of ended tasks: a member costs as much as its first task.
local ENDED_MAX = 200

-- Indexes ended tasks of a tenant by the end of the time for which they are kept. A member is the time of their end, the tenant, and for each
-- task its id and time of acceptance: everything needed to purge a task, even if its record is gone by then.
local function write_ended(c, tenant, kept_until, ended)
  for from = 1, #ended, ENDED_MAX do
    local member = c.padded .. tenant .. ' ' .. table.concat(ended, '', from, math.min(from + ENDED_MAX - 1, #ended))
    call('ZADD', ENDED .. c.tag, kept_until, member)
  end
end

local function flush(c)
  for key, members in pairs(c.removed) do in_chunks('ZREM', key, members) end
  for key, members in pairs(c.added) do in_chunks('ZADD', key, members) end
  for line, at in pairs(c.lines) do call('ZADD', LINES .. c.tag, 'LT', text(at), line) end
  for of, ended in pairs(c.forgotten) do
    write_ended(c, of:sub(8), text(c.now + 1000 * tonumber(of:sub(1, 7))), ended)
  end
  for tenant, counts in pairs(c.counts) do
    for what, change in pairs(counts) do
      if change ~= 0 then call('HINCRBY', tenant_key(c, COUNTERS, tenant), what, change) end
    end
  end
  for tenant, change in pairs(c.bytes) do add_bytes(c, tenant, change) end
  publish(c, CHANGED, c.changed)
  publish(c, ENDED_CHANNEL, c.ended)
  publish(c, CANCELLED_CHANNEL, c.cancelled)
  local ready = {}
  for tenant, more in pairs(c.ready) do ready[#ready + 1] = tenant .. ' ' .. more end
  publish(c, READY_CHANNEL, ready)
  c.added, c.removed, c.counts, c.forgotten, c.lines = {}, {}, {}, {}, {}
  c.bytes, c.stored = {}, {}
  c.changed, c.ended, c.cancelled, c.ready = {}, {}, {}, {}
end

local STATUS = { Q = QUEUED, D = QUEUED, R = RUNNING, B = RUNNING, C = COMPLETED, F = FAILED }
local LETTER = { [RUNNING] = 'R', [COMPLETED] = 'C', [FAILED] = 'F' }

-- Absent values of a state: a token or a worker, and a time.
local NO_ID, NO_TIME = '----------------------', '----------------'

local function counted(number) return string.format('%010.0f', number) end

-- First letters of the states of a new task, up to its due time, and the letters behind that time.
local NEW, NO_LEASE = '0000000000' .. NO_ID, NO_TIME .. NO_ID .. '0'

local function state_text(t)
  local letter = t.delayed and 'D' or t.renewed and t.status == RUNNING and 'B' or LETTER[t.status] or 'Q'
  return table.concat({ letter, counted(t.attempt), t.token, t.since, t.lease_until, t.worker, t.releases })
end

-- Places in a record: time of acceptance, expiry, size of the input, version, times for which a completed or cancelled
-- task and a dead letter are kept, in seconds of 7 digits, and the start of the words behind them, of which the tenant is
-- the first.
local function created_in(record) return record:sub(1, 16) end
local function expiry_in(record) return record:sub(18, 33) end
local function input_bytes_in(record) return tonumber(record:sub(35, 44)) or 0 end
local function version_in(record) return record:sub(46, 67) end
local function kept_in(record, dead) return dead and record:sub(121, 127) or record:sub(113, 119) end
local WORDS = 129
local RECORD_WORDS = '^(%S+) %S+ (%a+) (%d+) %S+ %S+ %S+ %S+ %S+ (%S+)'

-- Places in a state.
local function letter_in(state) return state:sub(1, 1) end
local function claim_in(state) return state:sub(2, 33) end
local function since_in(state) return state:sub(34, 49) end
-- Bytes that are counted for an ended task, in the place of the end of its lease.
local function bytes_in(state) return tonumber(state:sub(50, 65)) or 0 end
local function releases_in(state) return state:sub(88) end

-- Returns the data that decide about a task; nil if it does not exist or cannot be read.
local function read_task(c, id)
  local key = c.tasks .. id
  local found = try_call('HMGET', key, 'record', 'state')
  local record = found[1]
  if not record then return nil end
  local state = found[2] or 'Q' .. NEW .. created_in(record) .. NO_LEASE
  local tenant, priority, attempts_max, fingerprint = record:match(RECORD_WORDS, WORDS)
  local letter, attempt, releases = letter_in(state), tonumber(state:sub(2, 11)), tonumber(releases_in(state))
  if not tenant or not STATUS[letter] or not attempt or not releases then return nil end
  return {
    id = id, key = key, record = record, created_at = created_in(record), expires_at = expiry_in(record),
    tenant = tenant, priority = priority, fingerprint = fingerprint, status = STATUS[letter], delayed = letter == 'D',
    renewed = letter == 'B', attempt = attempt, token = state:sub(12, 33), since = since_in(state),
    lease_until = state:sub(50, 65), worker = state:sub(66, 87), releases = releases,
    attempts_max = attempts_max + releases,
  }
end

local function is_ended(status) return status == COMPLETED or status == FAILED end

-- Returns the time at which a task is due by itself: for lease, expiry, or the lapse of its lease. Nil for a ready
-- task, since its line is examined instead: an entry per task would be the largest cost of all, and most are leased
-- long before.
local function next_due(t)
  if t.status == RUNNING then return t.lease_until end
  if not t.delayed then return nil end
  return tonumber(t.since) < tonumber(t.expires_at) and t.since or t.expires_at
end

-- Queues a task by its time of acceptance, also when it is queued again. The caller writes its record.
local function enter_line(c, t)
  t.status, t.token, t.lease_until, t.worker = QUEUED, NO_ID, NO_TIME, NO_ID
  t.delayed = tonumber(t.since) > c.now
  if t.delayed then
    add(c, c.due, t.id, next_due(t))
    count(c, t.tenant, 'delayed', 1)
  else
    add(c, ready_key(c, t.tenant, t.priority), t.id, t.created_at)
    expires_in(c, line_of(t.tenant, t.priority), t.expires_at)
    c.ready[t.tenant] = (c.ready[t.tenant] or 0) + 1
  end
end

local function leave_line(c, t)
  if t.delayed then
    drop(c, c.due, t.id)
    count(c, t.tenant, 'delayed', -1)
  else
    drop(c, ready_key(c, t.tenant, t.priority), t.id)
  end
end

local function leave_lease(c, id, tenant)
  drop(c, c.due, id)
  count(c, tenant, 'running', -1)
end

-- Counts what is stored of a task from its end on: `kept` bytes, and the input of a dead letter. Returns the number of
-- bytes for its state.
local function count_end(c, tenant, record, dead, kept)
  local input = input_bytes_in(record)
  if dead then kept = kept + input end
  count_bytes(c, tenant, kept - input)
  return padded(RECORD_BYTES + kept)
end

-- The one routine for every end. `dead` marks a dead letter, which keeps its input; the further arguments are
-- additional fields.
local function end_task(c, id, tenant, record, status, state, dead, ...)
  local key = c.tasks .. id
  count(c, tenant, version_in(record), -1)
  if dead then
    call('HSET', key, 'status', status, 'state', state, ...)
    add(c, tenant_key(c, DEAD, tenant), c.padded .. id, 0)
  else
    call('HSET', key, 'status', status, 'state', state, 'param_payload', '', ...)
  end
  local forgotten = entries(c.forgotten, kept_in(record, dead) .. tenant)
  forgotten[#forgotten + 1] = id .. created_in(record)
  c.ended[#c.ended + 1] = id
end

-- Fails a task without a report of an attempt.
local function fail_task(c, t, failure)
  if t.status == RUNNING then leave_lease(c, t.id, t.tenant) else leave_line(c, t) end
  t.status, t.delayed, t.since, t.token, t.worker = FAILED, false, c.padded, NO_ID, NO_ID
  t.lease_until = count_end(c, t.tenant, t.record, failure.dead, failure.bytes)
  end_task(c, t.id, t.tenant, t.record, FAILED, state_text(t), failure.dead, 'error', failure.json)
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
  leave_lease(c, t.id, t.tenant)
  t.since = padded(not_before)
  enter_line(c, t)
  call('HSET', t.key, 'status', QUEUED, 'state', state_text(t))
  c.changed[#c.changed + 1] = t.id
  return QUEUED
end

-- Returns true if a tenant is being deleted, or was lately, so that nothing new of it is accepted.
local function is_closed(c, tenant)
  if c.closed[tenant] == nil then c.closed[tenant] = call('HGET', tenant_key(c, COUNTERS, tenant), 'closed') end
  return c.closed[tenant]
end

-- Registers a function. Flags: `allow-oom` for calls that free memory, lease or end work, and for administrative
-- ones, which are small, so that a full Redis still drains and can be managed;
-- `no-writes` for reads.
local function define(name, flags, body)
  redis.register_function { function_name = PREFIX .. name, flags = flags, callback = function(_, args) return body(args) end }
end
