-- Reads of more than one key: pages of tasks, and the backlog of each tenant.

-- Largest number of entries without a record that one page drops.
local STALE_MAX = 1000

-- page: returns the records of an index whose members are a padded time and an id, latest first.
define('page', { 'allow-oom' }, function(args)
  local c = begin(args)
  local key, rows = tenant_key(c, args[OWN], args[OWN + 1]), tonumber(args[OWN + 3])
  local last = args[OWN + 2] == '' and '+' or '(' .. args[OWN + 2]
  local found, stale = {}, 0
  while #found < rows and stale < STALE_MAX do
    local members = call('ZRANGE', key, last, '-', 'BYLEX', 'REV', 'LIMIT', 0, rows - #found)
    if #members == 0 then break end
    for _, member in ipairs(members) do
      local record = try_call('HMGET', c.tasks .. member:sub(17), unpack(RECORD))
      if record.err or not record[1] then
        stale = stale + 1
        drop(c, key, member)
      else
        found[#found + 1] = { member, record }
      end
    end
    last = '(' .. members[#members]
  end
  flush(c)
  return found
end)

-- backlog: returns a cursor for the next call, and the numbers of unfinished tasks by tenant. Drops tenants without
-- any.
define('backlog', { 'allow-oom' }, function(args)
  local c = begin(args)
  local scanned = call('SSCAN', TENANTS .. c.tag, args[OWN], 'COUNT', 500)
  local nothing_is_left = call('ZCARD', c.due) == 0
  local found = { scanned[1] }
  for _, tenant in ipairs(scanned[2]) do
    local key = tenant_key(c, COUNTERS, tenant)
    local counted = call('HMGET', key, 'delayed', 'running', 'closed')
    local delayed, running = tonumber(counted[1] or 0), tonumber(counted[2] or 0)
    -- Counters that are wrong because a key was removed by hand are reset once there is nothing left to count.
    if running ~= 0 and nothing_is_left then
      call('HDEL', key, 'running')
      running = 0
    end
    if delayed ~= 0 and nothing_is_left then
      call('HDEL', key, 'delayed')
      delayed = 0
    end
    local ready = 0
    for _, priority in ipairs(PRIORITIES) do
      ready = ready + call('ZCARD', ready_key(c, tenant, priority))
    end
    if ready == 0 and delayed == 0 and running == 0 then
      call('SREM', TENANTS .. c.tag, tenant)
      for _, priority in ipairs(PRIORITIES) do call('ZREM', LINES .. c.tag, line_of(tenant, priority)) end
      if not counted[3] then call('DEL', key) end
    else
      found[#found + 1] = { tenant, ready, math.max(0, delayed), math.max(0, running) }
    end
  end
  return found
end)
