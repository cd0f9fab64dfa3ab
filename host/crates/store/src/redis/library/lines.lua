-- Lines: the queues of ready tasks, of which a tenant has one for each priority. A line is a list of fresh tasks and a
-- sorted set of those that came back. The entry of a fresh task is its record up to the kind, its id, `=` and its input; `-`
-- without the input if that is large or the record is longer. Of fresh tasks that ended while they waited, and whose
-- entries are still there, the tenant has a set.

-- Returns the id in the entry of a fresh task, or in one of a task that came back, which is its time of acceptance and its
-- id.
local function id_of(entry)
  if #entry == 16 + ID then return sub(entry, 17) end
  return sub(entry, RECORD_LETTERS + 1, RECORD_LETTERS + ID)
end

-- Returns true if a tenant's lines have fresh tasks alone, none of which is gone: so it is for most, in one look.
local function are_fresh(c, tenant)
  local keys = { tenant_key(c, GONE, tenant) }
  for n, priority in ipairs(PRIORITIES) do keys[n + 1] = ready_key(c, line_of(tenant, priority)) end
  return call('EXISTS', unpack(keys)) == 0
end

-- Returns the numbers of a tenant's ready tasks, and of the entries of those that are gone.
local function ready_and_gone(c, tenant)
  local fresh, ready, gone = 0, 0, 0
  for _, priority in ipairs(PRIORITIES) do fresh = fresh + call('LLEN', fresh_key(c, line_of(tenant, priority))) end
  if not are_fresh(c, tenant) then
    gone = fresh > 0 and call('SCARD', tenant_key(c, GONE, tenant)) or 0
    for _, priority in ipairs(PRIORITIES) do
      ready = ready + call('ZCARD', ready_key(c, line_of(tenant, priority)))
    end
  end
  return math.max(0, fresh - gone) + ready, gone
end

-- Returns the number of a tenant's queued tasks. Entries of gone tasks count if they are as many as the others, so that
-- who cancels what it submits has a bound too.
local function depth(c, tenant)
  local known = c.depths[tenant]
  if known then return known end
  local counts = call('HMGET', tenant_key(c, COUNTERS, tenant), 'delayed', 'closed')
  local delayed = math.max(0, tonumber(counts[1] or 0))
  c.closed[tenant] = counts[2]
  local ready, gone = ready_and_gone(c, tenant)
  c.depths[tenant] = math.max(delayed + ready, gone)
  return c.depths[tenant]
end

-- Returns the first entries of a line behind those of a number of places in the set and in the list, `most` at most, the
-- oldest first; and of each false if it is not fresh, nil if all are. Without `ready_from`, reads fresh ones alone.
local function first_of(c, line, ready_from, fresh_from, most)
  if not ready_from then return call('LRANGE', fresh_key(c, line), fresh_from, fresh_from + most - 1), nil end
  local ready = call('ZRANGE', ready_key(c, line), ready_from, ready_from + most - 1, 'WITHSCORES')
  local fresh = call('LRANGE', fresh_key(c, line), fresh_from, fresh_from + most - 1)
  if #ready == 0 then return fresh, nil end
  local found, is_fresh, r, f = {}, {}, 1, 1
  while #found < most and (ready[r] or fresh[f]) do
    local back = ready[r] and padded(ready[r + 1]) .. ready[r]
    local n = #found + 1
    is_fresh[n] = not back or fresh[f] ~= nil and created_in(fresh[f]) .. id_of(fresh[f]) < back
    if is_fresh[n] then found[n], f = fresh[f], f + 1 else found[n], r = back, r + 2 end
  end
  return found, is_fresh
end

-- Returns those of these entries that are of gone tasks, as a set of their ids.
local function gone_among(c, tenant, found)
  local key, ids, gone = tenant_key(c, GONE, tenant), {}, {}
  if #found == 0 or call('SCARD', key) == 0 then return gone end
  for n, entry in ipairs(found) do ids[n] = id_of(entry) end
  for n, is_gone in ipairs(ask_chunks('SMISMEMBER', key, ids)) do gone[ids[n]] = is_gone == 1 or nil end
  return gone
end

-- Removes the first entries of a line: numbers of those in the set and in the list, and the ids of gone tasks among them.
local function take_first(c, tenant, line, ready, fresh, gone)
  if ready > 0 then call('ZREMRANGEBYRANK', ready_key(c, line), 0, ready - 1) end
  if fresh > 0 then call('LTRIM', fresh_key(c, line), fresh, -1) end
  in_chunks('SREM', tenant_key(c, GONE, tenant), gone)
end
