-- accept: accepts new tasks, independently of each other.

-- Number of arguments per kind, which has the data shared by many tasks of a call, and per task.
local KIND = 10
local ROW = 6

-- Returns true if a version that the caller has cached still exists, or is still the newest of its name.
local function is_as_expected(c, kind)
  if kind.expects == 'newest' then
    return call('ZRANGE', versions_key(c, kind.tenant, kind.name), 0, 0, 'REV')[1] == kind.version
  elseif kind.expects == 'there' then
    local known = call('HMGET', function_key(c, kind.version), 'tenant', 'deleted_at')
    return known[1] == kind.tenant and not known[2]
  end
  return true
end

local function read_kinds(c, args, from, many)
  local kinds = {}
  for number = 1, many do
    local version, tenant, name, priority, expects, most, stored_most, words, start_bytes, start =
      unpack(args, from + (number - 1) * KIND, from + number * KIND - 1)
    local kind = {
      version = version, tenant = tenant, name = name, expects = expects, most = tonumber(most),
      stored_most = tonumber(stored_most), words = ' ' .. words, start_bytes = tonumber(start_bytes), start = start,
      needs = words:match('^%S+'), line = line_of(tenant, priority), expiries = {}, new = 0, ready = 0,
      fresh = entries(c.fresh, line_of(tenant, priority)), listed = entries(c.listed, tenant),
    }
    kind.as_expected = is_as_expected(c, kind)
    kinds[text(number)] = kind
  end
  return kinds
end

-- Returns true if anyone subscribes to ids of accepted tasks, which take one more command each. On a Cluster each node
-- knows only its own subscribers, so the answer is always true.
local function someone_listens(c)
  return c.tag ~= '' or call('PUBSUB', 'NUMSUB', SEED_CHANNEL)[2] > 0 or call('PUBSUB', 'NUMPAT') > 0
end

-- Returns the time at which a task of a kind expires.
local function expiry_of(c, kind, duration)
  local expires_at = padded(c.now + duration)
  kind.expiries[duration] = expires_at
  return expires_at
end

-- Queues a delayed task; returns its state.
local function delayed_state(c, id, kind, delay, expires_at)
  local since = padded(c.now + delay)
  count(c, kind.tenant, 'delayed', 1)
  add(c, c.due, id, since < expires_at and since or expires_at)
  return 'D' .. NEW .. since .. NO_RELEASES
end

-- Queues a task as `enter_line` does, with a new record. Delay and expiry are durations, since Redis's own clock
-- determines the times.
local function write_new(c, key, id, kind, delay, duration, own, input)
  local expires_at = kind.expiries[duration] or expiry_of(c, kind, duration)
  local bytes = #input + kind.start_bytes
  local record = c.padded .. ' ' .. expires_at .. ' ' .. size_text(c, '%010.0f', bytes) .. kind.words .. own .. kind.start
  kind.new = kind.new + 1
  count_bytes(c, kind.tenant, RECORD_BYTES + bytes)
  kind.listed[#kind.listed + 1] = id
  if delay ~= '0' then
    call('HSET', key, 'function_id', kind.version, 'param_payload', input, 'status', QUEUED, 'record', record, 'state',
      delayed_state(c, id, kind, delay, expires_at))
  else
    call('HSET', key, 'function_id', kind.version, 'param_payload', input, 'status', QUEUED, 'record', record)
    kind.ready = kind.ready + 1
    kind.fresh[#kind.fresh + 1] = c.padded .. id
    if expires_at < (kind.expires_at or '~') then kind.expires_at = expires_at end
  end
end

-- Collects what the new tasks of a kind have in common.
local function count_new(c, kind)
  if kind.new == 0 then return end
  count(c, kind.tenant, kind.needs, kind.new)
  call('SADD', TENANTS .. c.tag, kind.tenant)
  if kind.ready > 0 then
    expires_in(c, kind.line, kind.expires_at)
    c.ready[kind.tenant] = (c.ready[kind.tenant] or 0) + kind.ready
  end
end

-- Reads what is known of the ids of a call: their keys, true if any may have a record or occurs twice, and the fences of
-- ids made from keys. A task that is new has none, so such a fence is left over from a record that was removed.
local function read_ids(c, args, from)
  local keys, seen, made, known = {}, {}, {}, false
  for at = from, #args, ROW do
    local id = args[at]
    known = known or seen[id]
    seen[id] = true
    if is_made(id) then made[#made + 1] = id end
    keys[#keys + 1] = c.tasks .. id
  end
  for at = 1, #keys, CHUNK do
    known = known or call('EXISTS', unpack(keys, at, math.min(at + CHUNK - 1, #keys))) > 0
  end
  local fences, held = ask_chunks('HMGET', c.leased, made), {}
  for at, id in ipairs(made) do held[id] = fences[at] or nil end
  return keys, known, held
end

-- Largest size of the inputs that one call copies, in bytes, to bound the time for which other clients wait. One input
-- is copied whatever its size.
local COPIED_MAX = 8 * 1024 * 1024

-- Returns the input of a tenant's dead letter; nil if there is no such letter.
local function letter_input(c, tenant, id)
  local letter = read_task(c, id)
  if not letter or letter.tenant ~= tenant or letter.status ~= FAILED then return nil end
  local kept = call('HMGET', letter.key, 'error', 'param_payload')
  -- A cancelled task has lost its input and is not a dead letter.
  if kept[1] == CANCELLED.json then return nil end
  return kept[2] or ''
end

-- Returns true if a task's input is within its tenant's limit of stored bytes.
local function fits(c, kind, counts, input)
  if kind.stored_most == 0 then return false end
  return not counts or stored_bytes(c, kind.tenant) + RECORD_BYTES + #input + kind.start_bytes <= kind.stored_most
end

-- Accepts tasks or replays. Answers with the time for a new task, otherwise with a word. Each kind has the tenant's
-- limits of queued tasks and of stored bytes, 0 for no room; if the caller has counted, only 0 is significant. In a
-- replay, each row has a dead letter instead of an input, which is copied only if the task is new.
local function take(args, replays)
  local c, copied = begin(args), 0
  local counts, many = args[OWN] == '1', tonumber(args[OWN + 1])
  local kinds, rows = read_kinds(c, args, OWN + 2, many), OWN + 2 + many * KIND
  local keys, look, held = read_ids(c, args, rows)
  local answers, new = {}, {}
  for n = 1, #keys do
    local id, number, delay, duration, own, input = unpack(args, rows + (n - 1) * ROW, rows + n * ROW - 1)
    local kind, known = kinds[number], look and read_task(c, id)
    local answer
    if known then
      local same = known.tenant == kind.tenant and known.fingerprint == own:match('^ (%S+)')
      answer = same and 'DUPLICATE' or 'CONFLICT'
    elseif not kind.as_expected then
      answer = 'CHANGED'
    elseif kind.most == 0 or counts and depth(c, kind.tenant) >= kind.most then
      answer = 'FULL'
    elseif is_closed(c, kind.tenant) then
      answer = 'NO_TENANT'
    elseif replays and copied >= COPIED_MAX then
      answer = 'LATER'
    else
      if replays then input = letter_input(c, kind.tenant, input) end
      answer = not input and 'GONE' or fits(c, kind, counts, input) and c.now or 'LARGE'
    end
    if answer == c.now then
      copied = copied + #input
      if held[id] then free_fence(c, id, held[id]) end
      write_new(c, keys[n], id, kind, delay, duration, own, input)
      if counts then c.depths[kind.tenant] = c.depths[kind.tenant] + 1 end
      new[#new + 1] = id
    end
    answers[n] = answer
  end
  for _, kind in pairs(kinds) do count_new(c, kind) end
  if #new > 0 and someone_listens(c) then
    for _, id in ipairs(new) do call('PUBLISH', SEED_CHANNEL, id) end
  end
  flush(c)
  return answers
end

define('accept', {}, function(args) return take(args, false) end)
define('replay', {}, function(args) return take(args, true) end)

-- amounts: returns the numbers of queued tasks and of stored bytes of tenants, in turn.
define('amounts', { 'no-writes' }, function(args)
  local c = begin(args)
  local answers = {}
  for at = OWN, #args do
    answers[#answers + 1] = depth(c, args[at])
    answers[#answers + 1] = stored_bytes(c, args[at])
  end
  return answers
end)
