-- What every step shares: time, how a task moves between the indexes, and the one routine for every end.
--
-- Redis does not take back what a function wrote before it failed. So a step reads and checks a task first and writes
-- its record then; index entries, counters and messages are gathered and written when every record is (`flush`).
-- The record is the truth: an index entry that is missing after all is made again by the audit, and one whose record
-- says something else is dropped by whoever meets it.

-- Time is Redis's own; a test may tell another.
local function now_ms(told)
  if told ~= '' then return tonumber(told) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Redis would write a number with all its digits, which takes long.
local function text(number) return string.format('%.0f', number) end

-- Every call starts with: the partition's hash tag, the time told, the suffix of channels, how long an ended task is
-- kept. What is the call's own follows.
local OWN = 5

local function begin(args)
  local now = now_ms(args[2])
  return {
    tag = args[1], now = now, at = text(now), channels = args[3], ended_ttl = args[4],
    ended_until = text(now + tonumber(args[4])),
    index = {}, counts = {}, depths = {}, changed = {}, ended = {}, cancelled = {}, ready = {}, expected = {},
  }
end

local function task_key(c, id) return TASK .. c.tag .. ':' .. id end
local function function_key(c, id) return FUNCTION .. c.tag .. ':' .. id end
local function versions_key(c, tenant, name) return VERSIONS .. c.tag .. ':' .. tenant .. ':' .. name end
local function tenant_key(c, name, tenant) return name .. c.tag .. ':' .. tenant end
local function ready_key(c, tenant, priority) return READY .. c.tag .. ':' .. tenant .. ':' .. priority end

-- Sorts as the number does.
local function padded(number) return string.format('%016.0f', tonumber(number)) end

-- An index entry to be written; `false` for one to be removed. The last word on an entry counts.
local function put(c, key, member, score)
  local members = c.index[key]
  if not members then
    members = {}
    c.index[key] = members
  end
  members[member] = score
end

local function count(c, tenant, what, change)
  local counts = c.counts[tenant]
  if not counts then
    counts = {}
    c.counts[tenant] = counts
  end
  counts[what] = (counts[what] or 0) + change
end

-- Lua cannot unpack much more than this at a time.
local CHUNK = 1000

local function in_chunks(command, key, items)
  for from = 1, #items, CHUNK do
    redis.call(command, key, unpack(items, from, math.min(from + CHUNK - 1, #items)))
  end
end

local function publish(c, channel, ids)
  if #ids > 0 then redis.call('PUBLISH', channel .. c.channels, table.concat(ids, ' ')) end
end

local function flush(c)
  for key, members in pairs(c.index) do
    local added, removed = {}, {}
    for member, score in pairs(members) do
      if score then
        added[#added + 1] = score
        added[#added + 1] = member
      else
        removed[#removed + 1] = member
      end
    end
    in_chunks('ZADD', key, added)
    in_chunks('ZREM', key, removed)
  end
  for tenant, counts in pairs(c.counts) do
    for what, change in pairs(counts) do
      if change ~= 0 then redis.call('HINCRBY', tenant_key(c, COUNTERS, tenant), what, change) end
    end
  end
  publish(c, CHANGED, c.changed)
  publish(c, ENDED_CHANNEL, c.ended)
  publish(c, CANCELLED_CHANNEL, c.cancelled)
  local ready = {}
  for tenant, more in pairs(c.ready) do ready[#ready + 1] = tenant .. ' ' .. more end
  publish(c, READY_CHANNEL, ready)
  c.index, c.counts, c.changed, c.ended, c.cancelled, c.ready = {}, {}, {}, {}, {}, {}
end

local STATE = {
  'status', 'tenant', 'priority', 'attempt', 'attempts_max', 'releases', 'created_at', 'expires_at', 'not_before',
  'token', 'lease_until', 'delayed', 'worker',
}

-- What decides about a task; nil where there is none that can be read.
local function read_task(c, id)
  local key = task_key(c, id)
  local v = redis.pcall('HMGET', key, unpack(STATE))
  if v.err or not v[1] or not v[2] then return nil end
  return {
    id = id, key = key, status = v[1], tenant = v[2], priority = v[3], attempt = v[4], attempts_max = v[5],
    releases = v[6], created_at = v[7], expires_at = v[8], not_before = v[9], token = v[10], lease_until = v[11],
    delayed = v[12], worker = v[13],
  }
end

local function is_ended(status) return status == COMPLETED or status == FAILED end

-- A waiting task takes its place: by the time it was accepted, also where it comes back.
local function enter_line(c, t, not_before)
  put(c, WAITING .. c.tag, t.id, t.expires_at)
  if tonumber(not_before) > c.now then
    put(c, DELAYED .. c.tag, t.id, not_before)
    count(c, t.tenant, 'delayed', 1)
    redis.call('HSET', t.key, 'delayed', 1)
  else
    put(c, ready_key(c, t.tenant, t.priority), t.id, t.created_at)
    c.ready[t.tenant] = (c.ready[t.tenant] or 0) + 1
  end
end

local function leave_line(c, t)
  put(c, WAITING .. c.tag, t.id, false)
  if t.delayed then
    put(c, DELAYED .. c.tag, t.id, false)
    count(c, t.tenant, 'delayed', -1)
  else
    put(c, ready_key(c, t.tenant, t.priority), t.id, false)
  end
end

local function leave_lease(c, t)
  put(c, LEASED .. c.tag, t.id, false)
  count(c, t.tenant, 'running', -1)
end

-- The one routine of every end. `fields` are those of the record that this way of ending sets; `dead` says whether it is
-- a dead letter, which keeps its input; `by_host` that no attempt reported it.
local function end_task(c, t, status, dead, by_host, fields)
  if t.status == RUNNING then leave_lease(c, t) else leave_line(c, t) end
  redis.call('HSET', t.key, 'status', status, 'ended_at', c.at, unpack(fields))
  local gone = { 'worker', 'leased_at', 'lease_until', 'delayed' }
  if by_host then gone[#gone + 1] = 'token' end
  if not dead then gone[#gone + 1] = 'param_payload' end
  redis.call('HDEL', t.key, unpack(gone))
  redis.call('PEXPIRE', t.key, c.ended_ttl)
  -- All that is needed to forget the task, also where Redis has forgotten its record by then.
  put(c, ENDED .. c.tag, t.id .. padded(t.created_at) .. padded(c.now) .. t.tenant, c.ended_until)
  if dead then put(c, tenant_key(c, DEAD, t.tenant), padded(c.now) .. t.id, 0) end
  c.ended[#c.ended + 1] = t.id
end

local function fail_task(c, t, failure) end_task(c, t, FAILED, failure.dead, true, { 'error', failure.json }) end

-- After an attempt that led to nothing: the task waits for another one, or fails where none is left.
local function requeue_or_fail(c, t, not_before)
  if tonumber(t.attempt) >= tonumber(t.attempts_max) then
    fail_task(c, t, EXHAUSTED)
    return FAILED
  end
  redis.call('HSET', t.key, 'status', QUEUED, 'not_before', not_before, 'attempts_max', t.attempts_max,
    'releases', t.releases)
  redis.call('HDEL', t.key, 'worker', 'token', 'leased_at', 'lease_until')
  leave_lease(c, t)
  enter_line(c, t, not_before)
  c.changed[#c.changed + 1] = t.id
  return QUEUED
end

-- Flags: `allow-oom` on what only makes room or ends work, so that a full Redis still drains; `no-writes` on reads.
local function define(name, flags, body)
  redis.register_function { function_name = PREFIX .. name, flags = flags, callback = function(_, args) return body(args) end }
end
