-- lease: leases the first due tasks of a tenant, highest priority first, then oldest first.

-- Largest number of tasks examined in one call: expired ones are ended on the way.
local LOOKED_AT_MAX = 1024

-- Leases the task of a ready entry; returns its id, record, state and input, or nil.
local function lease_one(c, id, token, lease)
  local key = c.tasks .. id
  local found = try_call('HMGET', key, 'record', 'state', 'param_payload')
  local record, state = found[1], found[2]
  if not record or state and letter_in(state) ~= 'Q' then return nil end
  if expiry_in(record) <= c.padded then
    local t = read_task(c, id)
    if t then fail_task(c, t, EXPIRED) end
    return nil
  end
  if (state and since_in(state) or created_in(record)) > c.padded then
    -- It became ready before the clock was set back.
    local t = read_task(c, id)
    if t then
      enter_line(c, t)
      call('HSET', key, 'state', state_text(t))
    end
    return nil
  end
  local attempt, releases = 1, '0'
  if state then attempt, releases = tonumber(state:sub(2, 11)) + 1, releases_in(state) end
  state = 'R' .. counted(attempt) .. token .. lease .. releases
  call('HSET', key, 'status', RUNNING, 'state', state)
  c.changed[#c.changed + 1] = id
  return { id, record, state, found[3] or '' }
end

-- Returns 1 if the bytes or the tasks to examine ran out before the tokens, otherwise 0, and the leased tasks. With
-- `wanted` ids, leases only those, in their order.
define('lease', { 'allow-oom' }, function(args)
  local c = begin(args)
  local tenant, worker, bytes = args[OWN], args[OWN + 1], tonumber(args[OWN + 3])
  local lease_until = padded(c.now + tonumber(args[OWN + 2]))
  local most = tonumber(args[OWN + 4])
  local tokens = OWN + 4
  local wanted = tokens + most
  local lease = c.padded .. lease_until .. worker
  local leased, looked_at = {}, 0
  local function full() return #leased >= most or bytes <= 0 or looked_at >= LOOKED_AT_MAX end
  local function try(id)
    looked_at = looked_at + 1
    local task = lease_one(c, id, args[tokens + #leased + 1], lease)
    if task then
      add(c, c.due, id, lease_until)
      leased[#leased + 1] = task
      bytes = bytes - #task[4]
    end
  end
  if #args > wanted then
    for at = wanted + 1, #args, 2 do
      if full() then break end
      try(args[at + 1])
      drop(c, ready_key(c, tenant, args[at]), args[at + 1])
    end
  else
    for _, priority in ipairs(PRIORITIES) do
      local key, tried = ready_key(c, tenant, priority), 0
      while not full() do
        local ids = call('ZRANGE', key, tried, tried + most - #leased - 1)
        if #ids == 0 then break end
        for _, id in ipairs(ids) do
          if full() then break end
          try(id)
          tried = tried + 1
        end
      end
      -- None of these entries stays: each task is leased, has ended, is delayed, or is not queued.
      if tried > 0 then call('ZREMRANGEBYRANK', key, 0, tried - 1) end
    end
  end
  if #leased > 0 then count(c, tenant, 'running', #leased) end
  local more = #leased < most and (bytes <= 0 or looked_at >= LOOKED_AT_MAX)
  flush(c)
  return { more and 1 or 0, leased }
end)

-- Largest number of leases examined for a repeated request: the latest, so that Redis is busy for about 10 ms at most.
local HELD_MAX = 10000

-- held: extends the leases of these tokens to the duration of new ones. Returns 1 if the bytes ran out before all were
-- examined, otherwise 0, and the leased tasks. No index leads from a token to its task, since it is needed only after a
-- lost answer; the latest leases are scanned instead.
define('held', { 'allow-oom' }, function(args)
  local c = begin(args)
  local lease_until, bytes = padded(c.now + tonumber(args[OWN])), tonumber(args[OWN + 1])
  local asked, left = {}, #args - OWN - 1
  for at = OWN + 2, #args do asked[args[at]] = true end
  local leased = {}
  for _, id in ipairs(call('ZRANGE', c.due, lease_until, '(' .. c.at, 'BYSCORE', 'REV', 'LIMIT', 0, HELD_MAX)) do
    if #leased >= left or bytes <= 0 then break end
    local t = read_task(c, id)
    if t and t.status == RUNNING and asked[t.token] then
      t.lease_until = lease_until
      local state = state_text(t)
      call('HSET', t.key, 'state', state)
      add(c, c.due, id, lease_until)
      leased[#leased + 1] = { id, t.record, state, call('HGET', t.key, 'param_payload') or '' }
      bytes = bytes - #leased[#leased][4]
    end
  end
  flush(c)
  return { #leased < left and bytes <= 0 and 1 or 0, leased }
end)

-- heads: returns the first ready entries of a tenant in this partition, as alternating priority, time and id.
define('heads', { 'no-writes' }, function(args)
  local c = begin(args)
  local tenant, most = args[OWN], tonumber(args[OWN + 1])
  local found = {}
  for _, priority in ipairs(PRIORITIES) do
    local left = most - #found / 3
    if left <= 0 then break end
    local entries = call('ZRANGE', ready_key(c, tenant, priority), 0, left - 1, 'WITHSCORES')
    for at = 1, #entries, 2 do
      found[#found + 1] = priority
      found[#found + 1] = entries[at + 1]
      found[#found + 1] = entries[at]
    end
  end
  return found
end)
