-- lease: leases the first due tasks of a tenant, highest priority first, then oldest first.

-- Largest number of tasks examined in one call: expired ones are ended on the way.
local LOOKED_AT_MAX = 1024

-- Leases the task of an entry whose record must be read. Returns its fence without the lease's number, and its record, state
-- (empty if it has none) and input; or nil. Its status is not written: most tasks end before anyone could read it.
local function lease_one(c, id, is_fresh, token)
  local found = try_call('HMGET', c.tasks .. id, 'record', 'state', 'param_payload')
  local record, state = found[1], found[2]
  -- A fresh task has no state.
  if not record or state and (is_fresh or letter_in(state) ~= 'Q') then return nil end
  if expiry_in(record) <= c.padded then
    local t = read_task(c, id)
    if t then
      t.fresh = false
      fail_task(c, t, EXPIRED)
    end
    return nil
  end
  if (state and since_in(state) or created_in(record)) > c.padded then
    -- It became ready before the clock was set back.
    local t = read_task(c, id)
    if t then
      enter_line(c, t)
      call('HSET', t.key, 'state', state_text(t))
    end
    return nil
  end
  local attempt, releases = FIRST, NO_RELEASES
  if state then attempt, releases = counted(tonumber(sub(state, 2, 11)) + 1), releases_in(state) end
  return attempt .. token .. c.padded .. releases .. for_end_in(record), record, state or '', found[3] or ''
end

-- Place of the letter between the id and the input of an entry, and the letter that says that the input follows.
local INSIDE_AT, INSIDE = RECORD_LETTERS + ID + 1, 61

-- Returns what a call of `lease` has leased so far: ids and fences in turn, the entries of the tasks, and the parts of those
-- whose records were read.
local function start_lease(c, args, at)
  return {
    args = args, tokens = at - 1, most = #args - at + 1, bytes = tonumber(args[OWN + 4]), number = args[OWN + 5],
    looked_at = 0, many = 0, seen = {}, held = {}, entries = {}, others = {},
  }
end

local function wanted(l)
  return l.bytes > 0 and l.looked_at < LOOKED_AT_MAX and l.most - l.many or 0
end

-- Leases the task of an entry by its record, if it is queued; `id` is false if it is gone.
local function try_one(c, l, id, is_fresh)
  l.looked_at = l.looked_at + 1
  if not id or l.seen[id] then return end
  l.seen[id] = true
  local n = l.many + 1
  local fence, record, state, input = lease_one(c, id, is_fresh, l.args[l.tokens + n])
  if not fence then return end
  local others = l.others
  local at = #others
  others[at + 1], others[at + 2], others[at + 3], others[at + 4] = id, record, state, input
  l.many, l.entries[n] = n, ''
  l.held[2 * n - 1], l.held[2 * n] = id, fence .. l.number
  l.bytes = l.bytes - #input
end

-- Leases tasks of entries that are all of fresh tasks, none of which is gone. A task's record is not read if its entry has
-- all of it: it is there, it is certainly queued and was never leased. Only an id that may come again can have ended under
-- a former entry. Returns the number of entries that are taken.
local function lease_fresh(c, l, found)
  local many, ids, keys, tasks, now = #found, {}, {}, c.tasks, c.padded
  for n = 1, many do
    local id = sub(found[n], 59, 94)
    ids[n], keys[n] = id, tasks .. id
  end
  local there = call('EXISTS', unpack(keys)) == many
  local behind, number, args = now .. NO_RELEASES, l.number, l.args
  local held, leased, seen = l.held, l.entries, l.seen
  for n = 1, many do
    local entry, id = found[n], ids[n]
    if there and not seen[id] and entry:byte(INSIDE_AT) == INSIDE and id:byte(15) ~= MADE and sub(entry, 17, 32) > now and sub(entry, 1, 16) <= now then
      local at = l.many + 1
      l.many, l.looked_at, l.bytes = at, l.looked_at + 1, l.bytes - #entry
      held[2 * at - 1], held[2 * at] = id, FIRST .. args[l.tokens + at] .. behind .. sub(entry, 33, 58) .. number
      leased[at], seen[id] = entry, true
    else
      try_one(c, l, id, true)
    end
    if wanted(l) == 0 then return n end
  end
  return many
end

-- Leases tasks of entries some of which are of tasks that came back or are gone; `met` has those that are gone. Returns the
-- numbers of entries that are taken.
local function lease_mixed(c, l, tenant, found, is_fresh, met)
  local gone, ready, fresh = gone_among(c, tenant, found), 0, 0
  for n, entry in ipairs(found) do
    local id, fresh_one = id_of(entry), not is_fresh or is_fresh[n]
    -- An id that came again has two entries, of which the first one is gone.
    local is_gone = fresh_one and gone[id] and not met[id]
    if is_gone then met[#met + 1], met[id] = id, true end
    if fresh_one then fresh = fresh + 1 else ready = ready + 1 end
    try_one(c, l, not is_gone and id, fresh_one)
    if wanted(l) == 0 then break end
  end
  return ready, fresh
end

-- Leases tasks of a line, and takes `most` entries at most. `plain` says that the line has fresh tasks alone.
local function lease_line(c, l, tenant, line, plain, most)
  local ready, fresh, met = 0, 0, {}
  while wanted(l) > 0 and ready + fresh < most do
    local many = math.min(wanted(l), most - ready - fresh, CHUNK)
    local found, is_fresh = first_of(c, line, not plain and ready or nil, fresh, many)
    if #found == 0 then break end
    if plain then
      fresh = fresh + lease_fresh(c, l, found)
    else
      local more_ready, more_fresh = lease_mixed(c, l, tenant, found, is_fresh, met)
      ready, fresh = ready + more_ready, fresh + more_fresh
    end
  end
  -- None of these entries stays: each task is leased, has ended, is delayed, or is not queued.
  take_first(c, tenant, line, ready, fresh, met)
end

-- Returns 1 if the bytes or the tasks to examine ran out before the tokens, otherwise 0; the time; of each leased task its
-- entry, empty for one whose record was read; and of each of these its id, record, state and input. Each priority has its
-- own bound of entries that are taken.
define('lease', { 'allow-oom' }, function(args)
  local c = begin(args)
  local tenant, worker, by = args[OWN], args[OWN + 1], args[OWN + 2]
  local lease_until = padded(c.now + tonumber(args[OWN + 3]))
  local l, plain = start_lease(c, args, OWN + 6 + #PRIORITIES), are_fresh(c, tenant)
  for n, priority in ipairs(PRIORITIES) do
    lease_line(c, l, tenant, line_of(tenant, priority), plain, tonumber(args[OWN + 5 + n]))
  end
  if l.many == 1 then
    l.number, l.held[2] = l.number .. ONE, l.held[2] .. ONE
  end
  if l.many > 0 then
    local new, ids = write_lease(c, l.number, 'R', lease_until, worker, tenant, l.held, by)
    count(c, tenant, 'running', new)
    call('RPUSH', UNMARKED .. c.tag, c.padded .. l.number)
    call('PUBLISH', CHANGED .. c.channels, ids)
  end
  local more = l.many < l.most and (l.bytes <= 0 or l.looked_at >= LOOKED_AT_MAX)
  flush(c)
  return { more and 1 or 0, c.at, l.entries, l.others }
end)

-- Largest numbers of leases and of their tasks examined for a repeated request: the latest, so that Redis is busy for
-- about 10 ms at most.
local HELD_LEASES_MAX, HELD_MAX = 2000, 20000
-- Extends a lease to another end.
local function extend_lease(c, number, lease_until)
  local lease = read_lease(c, number)
  if not lease then return end
  c.leases[number] = letter_of(lease) .. lease_until .. lease:sub(18)
  call('HSET', lease_key(c, number), 'of', c.leases[number])
  call('ZADD', LEASES .. c.tag, lease_until, number)
end

-- held: extends the leases of these tokens to the duration of new ones. Returns 1 if the bytes ran out before all were
-- examined, otherwise 0, and the leased tasks. No index leads from a token to its task, since it is needed only after a
-- lost answer; the latest leases are scanned instead.
define('held', { 'allow-oom' }, function(args)
  local c = begin(args)
  local lease_until, bytes = padded(c.now + tonumber(args[OWN])), tonumber(args[OWN + 1])
  local asked, left, looked_at = {}, #args - OWN - 1, 0
  for at = OWN + 2, #args do asked[args[at]] = true end
  local found, leased = {}, {}
  local numbers = call('ZRANGE', LEASES .. c.tag, lease_until, '(' .. c.at, 'BYSCORE', 'REV', 'LIMIT', 0, HELD_LEASES_MAX)
  for _, number in ipairs(numbers) do
    if #found >= left or looked_at >= HELD_MAX then break end
    local fences, ids = held_by(c, number)
    looked_at = looked_at + #ids
    for _, id in ipairs(ids) do
      if asked[fences[id]:sub(11, 32)] then found[#found + 1] = { id, number } end
    end
  end
  for _, of in ipairs(found) do
    if bytes <= 0 then break end
    local id, number = unpack(of)
    extend_lease(c, number, lease_until)
    local kept = try_call('HMGET', c.tasks .. id, 'record', 'state', 'param_payload')
    if kept[1] then
      for _, part in ipairs({ id, kept[1], shown_state(c, id, kept[2] or nil) or '', kept[3] or '' }) do
        leased[#leased + 1] = part
      end
      bytes = bytes - #leased[#leased]
    end
  end
  return { #leased < 4 * #found and bytes <= 0 and 1 or 0, leased }
end)

-- heads: returns the first ready entries of a tenant in this partition, as alternating priority, time and id.
define('heads', { 'no-writes' }, function(args)
  local c = begin(args)
  local tenant, most = args[OWN], tonumber(args[OWN + 1])
  local heads = {}
  for _, priority in ipairs(PRIORITIES) do
    local left = most - #heads / 3
    if left <= 0 then break end
    for _, entry in ipairs((first_of(c, line_of(tenant, priority), 0, 0, left))) do
      heads[#heads + 1] = priority
      heads[#heads + 1] = created_in(entry)
      heads[#heads + 1] = id_of(entry)
    end
  end
  return heads
end)
