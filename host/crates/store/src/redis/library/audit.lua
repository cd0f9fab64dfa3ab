-- audit: compares some more records with the indexes and restores missing entries. Returns the cursor for the next
-- call, the number of tasks queued again, and the number of leases made to lapse.

local function mended(c, t)
  if t.delayed then
    if call('ZSCORE', c.due, t.id) then return nil end
    add(c, c.due, t.id, next_due(t))
    return 'line'
  elseif t.status == QUEUED then
    expires_in(c, line_of(t.tenant, t.priority), t.expires_at)
    if call('ZSCORE', ready_key(c, t.tenant, t.priority), t.id) then return nil end
    leave_line(c, t)
    enter_line(c, t)
    call('HSET', t.key, 'state', state_text(t))
    return 'line'
  elseif not call('ZSCORE', c.due, t.id) then
    t.lease_until = c.padded
    call('HSET', t.key, 'state', state_text(t))
    add(c, c.due, t.id, c.at)
    return 'lease'
  end
end

define('audit', { 'allow-oom' }, function(args)
  local c = begin(args)
  local scanned = call('SCAN', args[OWN], 'MATCH', c.tasks .. '*', 'COUNT', args[OWN + 1])
  local answer = { line = 0, lease = 0 }
  for _, key in ipairs(scanned[2]) do
    local t = read_task(c, key:sub(#c.tasks + 1))
    if t and not is_ended(t.status) then
      local what = mended(c, t)
      if what then answer[what] = answer[what] + 1 end
      if call('SISMEMBER', TENANTS .. c.tag, t.tenant) == 0 then call('SADD', TENANTS .. c.tag, t.tenant) end
    end
  end
  flush(c)
  return { scanned[1], answer.line, answer.lease }
end)
