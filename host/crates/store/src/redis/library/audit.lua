-- audit: compares some more records with the indexes and restores missing entries. Returns the cursor for the next
-- call, the number of tasks queued again, and the number of leases made to lapse.

-- Puts a task into a lease of its own that is over.
local function lease_over(c, t)
  write_lease(c, t.token, 'R', c.padded, NO_ID, t.tenant, { t.id, counted(t.attempt) .. t.token .. t.since
    .. string.format('%02d', t.releases) .. for_end_in(t.record) .. t.token })
  c.left[t.lease] = (c.left[t.lease] or 0) + 1
end

-- Returns true if a fresh task is certainly missing from its line: the line is empty, or its first task was accepted later.
-- A task that is missing behind others is found once they are leased.
local function is_passed(c, t)
  local line = line_of(t.tenant, t.priority)
  local first = c.firsts[line]
  if first == nil then
    first = call('LINDEX', fresh_key(c, line), 0)
    c.firsts[line] = first
  end
  return not first or t.created_at < sub(first, 1, 16)
end

-- Restores the index entries of a task that has not ended; returns a word for what was missing.
local function mended(c, t)
  if t.delayed then
    if call('ZSCORE', c.due, t.id) then return nil end
    add(c, c.due, t.id, next_due(t))
    return 'line'
  elseif t.status == QUEUED then
    local line, missing = line_of(t.tenant, t.priority), nil
    expires_in(c, line, t.expires_at)
    if t.fresh then missing = is_passed(c, t) else missing = not call('ZSCORE', ready_key(c, line), t.id) end
    if not missing then return nil end
    enter_line(c, t)
    call('HSET', t.key, 'state', state_text(t))
    return 'line'
  elseif not read_lease(c, t.lease) or not call('ZSCORE', LEASES .. c.tag, t.lease) then
    lease_over(c, t)
    return 'lease'
  end
end

-- Restores the index entries of a task's tags.
local function mend_tags(c, t)
  local member = t.created_at .. t.id
  for _, key in ipairs(tags.keys(c, t.tenant, tags.of(t.record))) do
    if not call('ZSCORE', key, member) then add(c, key, member, 0) end
  end
end

define('audit', { 'allow-oom' }, function(args)
  local c = begin(args)
  c.firsts = {}
  local scanned = call('SCAN', args[OWN], 'MATCH', c.tasks .. '*', 'COUNT', args[OWN + 1])
  local answer = { line = 0, lease = 0 }
  for _, key in ipairs(scanned[2]) do
    local t = read_task(c, key:sub(#c.tasks + 1))
    if t and not is_ended(t.status) then
      local what = mended(c, t)
      if t.kind.tagged then mend_tags(c, t) end
      if what then answer[what] = answer[what] + 1 end
      if call('SISMEMBER', TENANTS .. c.tag, t.tenant) == 0 then call('SADD', TENANTS .. c.tag, t.tenant) end
    end
  end
  flush(c)
  return { scanned[1], answer.line, answer.lease }
end)
