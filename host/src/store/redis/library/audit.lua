-- audit: some more records, compared with the indexes; entries that are missing are made again. Gives the cursor for the
-- next call, tasks put back in line and leases made to lapse.

local function mended(c, t)
  if t.status == QUEUED then
    local line = t.delayed and DELAYED .. c.tag or ready_key(c, t.tenant, t.priority)
    if not redis.call('ZSCORE', line, t.id) then
      redis.call('HDEL', t.key, 'delayed')
      leave_line(c, t)
      enter_line(c, t, t.not_before)
      return 'line'
    end
    put(c, WAITING .. c.tag, t.id, t.expires_at)
  elseif t.status == RUNNING then
    if not redis.call('ZSCORE', LEASED .. c.tag, t.id) then
      redis.call('HSET', t.key, 'lease_until', c.now)
      put(c, LEASED .. c.tag, t.id, c.now)
      return 'lease'
    end
  end
  return nil
end

define('audit', { 'allow-oom' }, function(args)
  local c = begin(args)
  local prefix = TASK .. c.tag .. ':'
  local scanned = redis.call('SCAN', args[OWN], 'MATCH', prefix .. '*', 'COUNT', args[OWN + 1])
  local answer = { line = 0, lease = 0 }
  for _, key in ipairs(scanned[2]) do
    local t = read_task(c, key:sub(#prefix + 1))
    if t and not is_ended(t.status) then
      local what = mended(c, t)
      if what then answer[what] = answer[what] + 1 end
      if redis.call('SISMEMBER', TENANTS .. c.tag, t.tenant) == 0 then redis.call('SADD', TENANTS .. c.tag, t.tenant) end
    end
  end
  flush(c)
  return { scanned[1], answer.line, answer.lease }
end)
