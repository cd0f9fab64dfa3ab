-- accept: accepts new tasks, independently of each other.

-- Number of arguments per kind, which has the data shared by many tasks of a call, and per task.
local KIND = 14
local ROW = 4

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
    local version, tenant, name, priority, expects, most, stored_most, of, words, start_bytes, start, delay, duration, tag_list =
      unpack(args, from + (number - 1) * KIND, from + number * KIND - 1)
    local kind = {
      version = version, tenant = tenant, name = name, expects = expects, most = tonumber(most),
      stored_most = tonumber(stored_most), start_bytes = tonumber(start_bytes), start = start, of = of,
      delay = delay, expires_at = padded(c.now + duration), heads = {}, needs = sub(words, 1, 22),
      line = line_of(tenant, priority), new = 0, ready = 0,
      fresh = entries(c.fresh, line_of(tenant, priority)), listed = entries(c.listed, tenant),
    }
    kind.as_expected = is_as_expected(c, kind)
    c.kinds[of] = read_kind(of, words)
    kind.record_bytes, kind.kept_dead = c.kinds[of].record_bytes, math.max(c.kinds[of].kept, c.kinds[of].kept_dead)
    if tag_list ~= '' then kind.tags, kind.members = tag_list, {} end
    kinds[text(number)] = kind
  end
  return kinds
end

-- Returns true if anyone subscribes to ids of accepted tasks, which take one more command each. On a Cluster each node
-- knows only its own subscribers, so the answer is always true.
local function someone_listens(c)
  return c.tag ~= '' or call('PUBSUB', 'NUMSUB', SEED_CHANNEL)[2] > 0 or call('PUBSUB', 'NUMPAT') > 0
end

-- Queues a delayed task; returns its state.
local function delayed_state(c, id, kind)
  local since = padded(c.now + kind.delay)
  count(c, kind.tenant, 'delayed', 1)
  add(c, c.due, id, since < kind.expires_at and since or kind.expires_at)
  return 'D' .. NEW .. since .. NO_RELEASES
end

-- Largest input in an entry of a line, in bytes. A copy of a larger one costs more than to read it in the task's hash.
local INSIDE_MAX = 128

-- Returns the start of the record of a task with this size, which tasks of a call often share.
local function head_of(c, kind, bytes)
  local head = kind.heads[bytes]
  if not head then
    head = c.padded .. kind.expires_at .. string.format('%010d', bytes) .. kind.of
    kind.heads[bytes] = head
  end
  return head
end

-- Queues a task as `enter_line` does, with a new record. Delay and expiry are given as durations, since Redis's own clock
-- determines the times.
local function write_new(c, key, id, kind, own, input)
  local bytes = #input + kind.start_bytes
  local head = head_of(c, kind, bytes)
  local record = head
  if own ~= '' then record = head .. own .. kind.start end
  kind.new = kind.new + 1
  kind.listed[#kind.listed + 1] = id
  if kind.tags then kind.members[#kind.members + 1] = c.padded .. id end
  if kind.delay ~= '0' then
    call('HSET', key, 'function_id', kind.version, 'param_payload', input, 'status', QUEUED, 'record', record, 'state',
      delayed_state(c, id, kind))
  else
    call('HSET', key, 'function_id', kind.version, 'param_payload', input, 'status', QUEUED, 'record', record)
    kind.ready = kind.ready + 1
    local inside = own == '' and #input <= INSIDE_MAX
    kind.fresh[#kind.fresh + 1] = inside and head .. id .. '=' .. input or head .. id .. '-'
  end
end

-- Time in milliseconds for which the last attempt of a task may take beyond the task's expiry, and its purge after that.
local LAST_MS = 86400000

-- Indexes the tags of the new tasks of a kind. An index that has lost the record of a task, which somebody removed by hand,
-- is gone with the last of its tasks.
local function index_tags(c, kind)
  local lasts = tonumber(kind.expires_at) - c.now + 1000 * kind.kept_dead + LAST_MS
  local scored = {}
  for at, member in ipairs(kind.members) do scored[2 * at - 1], scored[2 * at] = '0', member end
  for _, key in ipairs(tags.keys(c, kind.tenant, kind.tags)) do
    in_chunks('ZADD', key, scored)
    if call('PTTL', key) < lasts then call('PEXPIRE', key, text(lasts)) end
  end
end

-- Collects what the new tasks of a kind have in common.
local function count_new(c, kind)
  if kind.new == 0 then return end
  count(c, kind.tenant, kind.needs, kind.new)
  use_kind(c, kind.of, kind.new)
  if kind.tags then index_tags(c, kind) end
  call('SADD', TENANTS .. c.tag, kind.tenant)
  if kind.ready > 0 then
    expires_in(c, kind.line, kind.expires_at)
    c.ready[kind.tenant] = (c.ready[kind.tenant] or 0) + kind.ready
  end
end

-- Reads what is known of the ids of a call: their keys, true if any may have a record or occurs twice, and the fences of
-- ids made from keys. A task that is new has none, so such a fence is left over from a record that was removed.
local function read_ids(c, args, from)
  local keys, seen, made, known, tasks = {}, {}, {}, false, c.tasks
  for n = 1, (#args - from + 1) / ROW do
    local id = args[from + (n - 1) * ROW]
    known = known or seen[id]
    seen[id], keys[n] = true, tasks .. id
    if id:byte(15) == MADE then made[#made + 1] = id end
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

-- Returns what a tenant has in this place: `counts` is false if the caller has counted.
local function amounts_of(c, tenants, tenant, counts)
  local of = tenants[tenant]
  if not of then
    local queued, stored = 0, 0
    if counts then queued, stored = depth(c, tenant), stored_bytes(c, tenant) end
    of = { queued = queued, stored = stored, closed = is_closed(c, tenant), bytes = 0 }
    tenants[tenant] = of
  end
  return of
end

-- Returns the word for a task that is not new.
local function known_word(known, kind, own)
  return known.tenant == kind.tenant and known.fingerprint == fingerprint_in(own) and 'DUPLICATE' or 'CONFLICT'
end

-- Returns the word for a task that is refused whatever its input; nil for others.
local function refusal(kind, of)
  return not kind.as_expected and 'CHANGED' or of.queued >= kind.most and 'FULL' or of.closed and 'NO_TENANT' or nil
end

-- Accepts tasks or replays. Answers with the time for a new task, otherwise with a word. Each kind has the tenant's
-- limits of queued tasks and of stored bytes, 0 for no room; if the caller has counted, only 0 is significant. In a
-- replay, each row has a dead letter instead of an input, which is copied only if the task is new.
local function take(args, replays)
  local c, copied, tenants = begin(args), 0, {}
  local counts, many = args[OWN] == '1', tonumber(args[OWN + 1])
  local kinds, rows = read_kinds(c, args, OWN + 2, many), OWN + 2 + many * KIND
  local keys, look, held = read_ids(c, args, rows)
  for _, kind in pairs(kinds) do kind.amounts = amounts_of(c, tenants, kind.tenant, counts) end
  local answers, new = {}, {}
  for n = 1, #keys do
    local at = rows + (n - 1) * ROW
    local id, kind, own, input = args[at], kinds[args[at + 1]], args[at + 2], args[at + 3]
    local of, known = kind.amounts, look and read_task(c, id)
    local answer = known and known_word(known, kind, own) or refusal(kind, of)
    if not answer and replays then
      if copied >= COPIED_MAX then answer = 'LATER' else input = letter_input(c, kind.tenant, input) end
      if not answer and not input then answer = 'GONE' end
    end
    if not answer then
      local bytes = kind.record_bytes + #input + kind.start_bytes
      if of.stored + bytes > kind.stored_most then
        answer = 'LARGE'
      else
        answer, copied = c.now, copied + #input
        if counts then of.queued, of.stored = of.queued + 1, of.stored + bytes end
        of.bytes = of.bytes + bytes
        if held[id] then free_fence(c, id, held[id]) end
        write_new(c, keys[n], id, kind, own, input)
        new[#new + 1] = id
      end
    end
    answers[n] = answer
  end
  for tenant, of in pairs(tenants) do count_bytes(c, tenant, of.bytes) end
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
