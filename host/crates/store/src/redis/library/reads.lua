-- Reads of more than one key: pages of tasks, and the backlog of each tenant.

-- task: returns these fields of a task, with its state as others see it. The second one is the state.
define('task', { 'no-writes' }, function(args)
  local c = begin(args)
  local fields = try_call('HMGET', c.tasks .. args[OWN], unpack(args, OWN + 1))
  if not fields.err and fields[1] then fields[2] = shown_state(c, args[OWN], fields[2]) end
  return fields
end)

-- Largest number of tasks that one page reads.
local PAGE_READ_MAX = 2000

-- Returns the fields of a task in a listing as others see them; nil if it has no record of that time.
local function listed_record(c, dead, time, id)
  local fields = try_call('HMGET', c.tasks .. id, unpack(RECORD))
  if fields.err or not fields[1] then return nil end
  local state = fields[2]
  if dead then
    return state and letter_in(state) == 'F' and since_in(state) == time and fields or nil
  end
  if created_in(fields[1]) ~= time then return nil end
  fields[2] = shown_state(c, id, state)
  return fields
end

-- Returns the ids that a listing has for a time, latest first, of those before `id` if that is not empty.
local function listed_at(key, time, id)
  local ids = {}
  for _, member in ipairs(call('ZRANGE', key, '[' .. time, '[' .. time .. '~', 'BYLEX')) do
    for _, other in ipairs(ids_in(member, 17)) do
      if id == '' or other < id then ids[#ids + 1] = other end
    end
  end
  table.sort(ids, function(one, other) return one > other end)
  return ids
end

-- page: returns the records of a listing, latest first, of `rows` tasks behind a cursor, which is a padded time and an id.
-- The first value is the cursor from which a further call continues, empty at the end of the listing.
define('page', { 'no-writes' }, function(args)
  local c = begin(args)
  local dead, key, cursor, rows = args[OWN] == DEAD, tenant_key(c, args[OWN], args[OWN + 1]), args[OWN + 2], tonumber(args[OWN + 3])
  local found, looked_at = {}, 0
  local last = cursor == '' and '+' or '[' .. sub(cursor, 1, 16) .. '~'
  while true do
    local member = call('ZRANGE', key, last, '-', 'BYLEX', 'REV', 'LIMIT', 0, 1)[1]
    if not member then return { '', found } end
    local time = sub(member, 1, 16)
    for _, id in ipairs(listed_at(key, time, time == sub(cursor, 1, 16) and sub(cursor, 17) or '')) do
      if #found >= rows or looked_at >= PAGE_READ_MAX then return { cursor, found } end
      looked_at = looked_at + 1
      cursor = time .. id
      local fields = listed_record(c, dead, time, id)
      if fields then found[#found + 1] = { cursor, fields } end
    end
    last = '(' .. time
  end
end)

-- backlog: returns a cursor for the next call, and the numbers of unfinished tasks by tenant. Drops tenants without
-- any.
define('backlog', { 'allow-oom' }, function(args)
  local c = begin(args)
  local scanned = call('SSCAN', TENANTS .. c.tag, args[OWN], 'COUNT', 500)
  local nothing_is_left, nothing_runs = call('ZCARD', c.due) == 0, call('HLEN', c.leased) == 0
  local found = { scanned[1] }
  for _, tenant in ipairs(scanned[2]) do
    local key = tenant_key(c, COUNTERS, tenant)
    local counts = call('HMGET', key, 'delayed', 'running', 'closed')
    local delayed, running = tonumber(counts[1] or 0), tonumber(counts[2] or 0)
    -- Counters that are wrong because a key was removed by hand are reset once there is nothing left to count.
    if running ~= 0 and nothing_runs then
      call('HDEL', key, 'running')
      running = 0
    end
    if delayed ~= 0 and nothing_is_left then
      call('HDEL', key, 'delayed')
      delayed = 0
    end
    local ready, gone = ready_and_gone(c, tenant)
    if ready == 0 and delayed == 0 and running == 0 then
      call('SREM', TENANTS .. c.tag, tenant)
      for _, priority in ipairs(PRIORITIES) do
        call('ZREM', LINES .. c.tag, line_of(tenant, priority))
        if gone > 0 then call('DEL', fresh_key(c, line_of(tenant, priority))) end
      end
      call('DEL', tenant_key(c, GONE, tenant))
      if not counts[3] then call('DEL', key) end
    else
      found[#found + 1] = { tenant, ready, math.max(0, delayed), math.max(0, running) }
    end
  end
  return found
end)
