-- lease: leases the first due tasks of a tenant, highest priority first, then oldest first.

-- Largest number of tasks examined in one call: expired ones are ended on the way.
local LOOKED_AT_MAX = 1024

-- Leases the task of a ready entry. Returns its fence without the lease's number, and its record, state (empty if it has
-- none) and input; or nil. Its status is not written: most tasks end before anyone could read it.
local function lease_one(c, id, is_fresh, token)
  local found = try_call('HMGET', c.tasks .. id, 'record', 'state', 'param_payload')
  local record, state = found[1], found[2]
  -- A fresh task has no state.
  if not record or state and (is_fresh or letter_in(state) ~= 'Q') then return nil end
  if sub(record, 18, 33) <= c.padded then
    local t = read_task(c, id)
    if t then
      t.fresh = false
      fail_task(c, t, EXPIRED)
    end
    return nil
  end
  if (state and since_in(state) or sub(record, 1, 16)) > c.padded then
    -- It became ready before the clock was set back.
    local t = read_task(c, id)
    if t then
      enter_line(c, t)
      call('HSET', t.key, 'state', state_text(t))
    end
    return nil
  end
  if not state then return FIRST .. token .. c.padded .. NO_RELEASES, record, '', found[3] or '' end
  local fence = counted(tonumber(sub(state, 2, 11)) + 1) .. token .. c.padded .. releases_in(state)
  return fence, record, state, found[3] or ''
end

-- Leases tasks of a line with `try`, which answers with the number of tasks that are still wanted. Takes `most` entries at
-- most. `plain` says that the line has fresh tasks alone.
local function lease_line(c, tenant, line, plain, wanted, most, try)
  local ready, fresh, met = 0, 0, {}
  while wanted > 0 and ready + fresh < most do
    local found, is_fresh = first_of(c, line, not plain and ready or nil, fresh, math.min(wanted, most - ready - fresh))
    if #found == 0 then break end
    local gone = plain and {} or gone_among(c, tenant, found)
    for n, entry in ipairs(found) do
      local id, fresh_one = sub(entry, 17), not is_fresh or is_fresh[n]
      -- An id that came again has two entries, of which the first one is gone.
      local is_gone = fresh_one and gone[id] and not met[id]
      if wanted == 0 then break end
      if is_gone then met[#met + 1], met[id] = id, true end
      if fresh_one then fresh = fresh + 1 else ready = ready + 1 end
      wanted = try(not is_gone and id, fresh_one)
    end
  end
  -- None of these entries stays: each task is leased, has ended, is delayed, or is not queued.
  take_first(c, tenant, line, ready, fresh, met)
end

-- Returns 1 if the bytes or the tasks to examine ran out before the tokens, otherwise 0, the time, and of each leased task
-- its id, record, state and input. Each priority has its own bound of entries that are taken.
define('lease', { 'allow-oom' }, function(args)
  local c = begin(args)
  local tenant, worker, bytes, number = args[OWN], args[OWN + 1], tonumber(args[OWN + 3]), args[OWN + 4]
  local lease_until = padded(c.now + tonumber(args[OWN + 2]))
  local tokens = OWN + 4 + #PRIORITIES
  local most = #args - tokens
  local leased, held, seen, many, looked_at = {}, {}, {}, 0, 0
  local function wanted()
    return bytes > 0 and looked_at < LOOKED_AT_MAX and most - many or 0
  end
  local function try(id, is_fresh)
    looked_at = looked_at + 1
    if not id or seen[id] then return wanted() end
    seen[id] = true
    local fence, record, state, input = lease_one(c, id, is_fresh, args[tokens + many + 1])
    if fence then
      local at = 4 * many
      leased[at + 1], leased[at + 2], leased[at + 3], leased[at + 4] = id, record, state, input
      held[2 * many + 1], held[2 * many + 2] = id, fence .. number
      many = many + 1
      c.changed[many] = id
      bytes = bytes - #input
    end
    return wanted()
  end
  local plain = are_fresh(c, tenant)
  for n, priority in ipairs(PRIORITIES) do
    lease_line(c, tenant, line_of(tenant, priority), plain, wanted(), tonumber(args[OWN + 4 + n]), try)
  end
  if many == 1 then
    number, held[2] = number .. ONE, held[2] .. ONE
  end
  if many > 0 then
    count(c, tenant, 'running', write_lease(c, number, 'R', lease_until, worker, tenant, held))
    call('RPUSH', UNMARKED .. c.tag, c.padded .. number)
  end
  local more = many < most and (bytes <= 0 or looked_at >= LOOKED_AT_MAX)
  flush(c)
  return { more and 1 or 0, c.at, leased }
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
      heads[#heads + 1] = sub(entry, 1, 16)
      heads[#heads + 1] = id_of(entry)
    end
  end
  return heads
end)
