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

-- Returns the ids that a listing has for a time, in their order, of those behind `id` if that is not empty.
local function listed_at(key, time, id, oldest)
  local ids = {}
  for _, member in ipairs(call('ZRANGE', key, '[' .. time, '[' .. time .. '~', 'BYLEX')) do
    for _, other in ipairs(ids_in(member, 17)) do
      if id == '' or oldest and other > id or not oldest and other < id then ids[#ids + 1] = other end
    end
  end
  table.sort(ids, function(one, other) if oldest then return one < other end return one > other end)
  return ids
end

-- Returns true if the fields of a task have one of these letters as its state, and it is of this version; each may be empty
-- for any.
local function is_asked_for(c, fields, letters, version)
  if letters ~= '' and not letters:find(fields[2] and letter_in(fields[2]) or 'Q', 1, true) then return false end
  local kind = version == '' or kind_of(c, kind_in(fields[1]))
  return kind == true or kind and kind.version == version
end

-- Returns the first member of a listing from a place on.
local function member_from(key, from, oldest)
  if oldest then return call('ZRANGE', key, from, '+', 'BYLEX', 'LIMIT', 0, 1)[1] end
  return call('ZRANGE', key, from, '-', 'BYLEX', 'REV', 'LIMIT', 0, 1)[1]
end

-- Returns the place from which a listing is read: its end, the cursor, or the edge, a time.
local function place_of(cursor, edge, oldest)
  if cursor ~= '' then return '[' .. sub(cursor, 1, 16) .. (oldest and '' or '~') end
  if edge ~= '' then return (oldest and '[' or '(') .. edge end
  return oldest and '-' or '+'
end

-- Returns true if a listing is not read beyond this time.
local function is_beyond(time, stop, oldest)
  return stop ~= '' and (oldest and time >= stop or not oldest and time < stop)
end

-- page: returns records of a listing, in its order or against it (`oldest`), of `rows` tasks behind a cursor, which is a
-- padded time and an id. Looks at `most` tasks at most, from the edge to the stop, which are times. The first values are the
-- cursor from which a further call continues, empty at the end of the listing, and the number of tasks looked at.
define('page', { 'no-writes' }, function(args)
  local c = begin(args)
  local dead, key, cursor, edge, stop = args[OWN] == DEAD, tenant_key(c, args[OWN], args[OWN + 1]), unpack(args, OWN + 2, OWN + 4)
  local oldest, rows, most = args[OWN + 5] == 'oldest', tonumber(args[OWN + 6]), tonumber(args[OWN + 7])
  local letters, version = args[OWN + 8], args[OWN + 9]
  local found, looked_at, from = {}, 0, place_of(cursor, edge, oldest)
  most = math.min(most, PAGE_READ_MAX)
  while true do
    local member = member_from(key, from, oldest)
    local time = member and sub(member, 1, 16)
    if not member or is_beyond(time, stop, oldest) then return { '', looked_at, found } end
    for _, id in ipairs(listed_at(key, time, time == sub(cursor, 1, 16) and sub(cursor, 17) or '', oldest)) do
      if #found >= rows or looked_at >= most then return { cursor, looked_at, found } end
      looked_at = looked_at + 1
      cursor = time .. id
      local fields = listed_record(c, dead, time, id)
      if fields and is_asked_for(c, fields, letters, version) then found[#found + 1] = { cursor, fields } end
    end
    from = '(' .. time .. (oldest and '~' or '')
  end
end)

-- running: returns records of a tenant's running tasks with their cursors, in no order; false if more than `most` of all
-- tenants run.
define('running', { 'no-writes' }, function(args)
  local c = begin(args)
  if call('HLEN', c.leased) > tonumber(args[OWN + 1]) then return false end
  local found, leased = {}, call('HGETALL', c.leased)
  for i = 1, #leased, 2 do
    local id = leased[i]
    local fields = try_call('HMGET', c.tasks .. id, unpack(RECORD))
    local kind = not fields.err and fields[1] and kind_of(c, kind_in(fields[1]))
    if kind and kind.tenant == args[OWN] then
      fields[2] = shown_state(c, id, fields[2])
      found[#found + 1] = { created_in(fields[1]) .. id, fields }
    end
  end
  return found
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

-- unfinished: returns the number of a version's tasks that have not ended.
define('unfinished', { 'no-writes' }, function(args)
  local c = begin(args)
  return math.max(0, tonumber(call('HGET', tenant_key(c, COUNTERS, args[OWN]), args[OWN + 1]) or 0))
end)
