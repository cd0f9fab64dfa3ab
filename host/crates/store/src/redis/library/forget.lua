-- Purge of ended tasks whose time is over, and the trim of the listings, whose members name many tasks.

-- Number of members of the index of ended tasks that are read at a time.
local ENDED_READ = 10

-- Collects those of some tasks that ended at a time and are still there; returns the bytes that are counted for them. Those
-- of `tagged`, a tenant, have tags.
local function forget_each(c, ids, of, ended_at, keys, tagged)
  local bytes = 0
  for at, id in ipairs(ids) do
    local key = of[at]
    local found = try_call('HMGET', key, 'state', 'record')
    local state, record = found[1], found[2]
    -- A purged id can be used again; that task is not yet due.
    local is_due = type(state) == 'string' and ENDED_LETTERS[letter_in(state)] and since_in(state) == ended_at
    if is_due and not keys[key] then
      keys[#keys + 1], keys[key] = key, true
      bytes = bytes + bytes_in(state)
      if tagged and record then tags.drop(c, tagged, id, record) end
    end
  end
  return bytes
end

-- Collects the keys of a member's tasks, each once; returns their number, their tenant, and the time of their end. Ids that
-- never come again need no look at each task, if all are still there or none.
local function forget(c, member, keys)
  local tenant, from = member:match('^(%S+) ()', 18)
  local ended_at, kind, bytes = sub(member, 1, 16), sub(member, from, from + 15), tonumber(sub(member, from + 16, from + 31))
  local read = kind_of(c, kind)
  local ids, of, some_made, tagged = ids_in(member, from + 32), {}, false, read and read.tagged and tenant
  for at, id in ipairs(ids) do
    of[at] = c.tasks .. id
    some_made = some_made or id:byte(15) == MADE
  end
  local there = call('EXISTS', unpack(of))
  if some_made or tagged or there > 0 and there < #ids then
    bytes = forget_each(c, ids, of, ended_at, keys, tagged)
  elseif there == 0 then
    bytes = 0
  else
    local many = #keys
    for at = 1, there do keys[many + at] = of[at] end
  end
  if sub(member, 17, 17) == 'D' then
    local dead = tenant_key(c, DEAD, tenant)
    for _, id in ipairs(ids) do drop(c, dead, ended_at .. id) end
  end
  count_bytes(c, tenant, -bytes)
  use_kind(c, kind, -#ids)
  return #ids, tenant, ended_at
end

-- Returns those of these ids that have a record, nil if they are more than `most`. A half without any takes one command.
local function with_record(c, ids, from, to, most)
  local keys = {}
  for at = from, to do keys[#keys + 1] = c.tasks .. ids[at] end
  local many = call('EXISTS', unpack(keys))
  if many > most then return nil end
  if many == 0 then return {} end
  if from == to then return { ids[from] } end
  local middle = math.floor((from + to) / 2)
  local found = with_record(c, ids, from, middle, most)
  for _, id in ipairs(with_record(c, ids, middle + 1, to, most)) do found[#found + 1] = id end
  return found
end

-- Number of tasks that a look at a member of a listing counts as, which moves as many bytes; number of samples of a look;
-- and share of its tasks that are left of a member when it shrinks.
local LOOK, SAMPLES, SHRINK = 50, 8, 8

-- Returns true if none of some tasks of a member has a record: others each time, spread over the member.
local function seems_over(c, member)
  local many, keys = (#member - 16) / ID, {}
  for n = 1, math.min(SAMPLES, many) do
    local at = 17 + ID * ((c.now + math.floor(n * many / SAMPLES)) % many)
    keys[n] = c.tasks .. sub(member, at, at + ID - 1)
  end
  return call('EXISTS', unpack(keys)) == 0
end

-- Removes from a member of a listing what has no record, once that is nearly all of it. Returns the number of tasks looked
-- at.
local function trim_member(c, key, member)
  if not seems_over(c, member) then return LOOK end
  local ids = ids_in(member, 17)
  local left = with_record(c, ids, 1, #ids, #ids / SHRINK)
  if left then
    call('ZREM', key, member)
    pack_ids(key, '0', sub(member, 1, 16), left, LISTED_MAX)
  end
  return LOOK + #ids
end

-- Examines members of a tenant's listing from where the last call ended, up to those accepted at `to`, and `most` tasks.
-- So a task that is never purged holds up no other.
local function trim(c, tenant, to, most)
  local key, counters, looked_at = tenant_key(c, TASKS, tenant), tenant_key(c, COUNTERS, tenant), 0
  local started = call('HGET', counters, 'trimmed')
  local from = started or '-'
  while from and looked_at < most do
    local member = call('ZRANGE', key, from, '[' .. to .. '~', 'BYLEX', 'LIMIT', 0, 1)[1]
    if member then looked_at = looked_at + trim_member(c, key, member) end
    -- Behind the member, which starts with its time and first id.
    from = member and '(' .. sub(member, 1, 16 + ID) .. '~'
  end
  if from then
    call('HSET', counters, 'trimmed', from)
  elseif started then
    call('HDEL', counters, 'trimmed')
  end
end

-- Purges the ended tasks whose time is over, in the order of that time.
local function purge(c, most)
  local purged, taken, keys, tenants = 0, 0, {}, {}
  while purged < most do
    local members = call('ZRANGE', ENDED .. c.tag, '-inf', c.at, 'BYSCORE', 'LIMIT', taken, ENDED_READ)
    for _, member in ipairs(members) do
      if purged >= most then break end
      local many, tenant, ended_at = forget(c, member, keys)
      local of = entries(tenants, tenant)
      of.many, of.to = (of.many or 0) + many, ended_at > (of.to or '') and ended_at or of.to
      purged = purged + many
      taken = taken + 1
    end
    if #members < ENDED_READ then break end
  end
  if taken == 0 then return 0 end
  for at = 1, #keys, CHUNK do call('UNLINK', unpack(keys, at, math.min(at + CHUNK - 1, #keys))) end
  flush(c)
  for tenant, of in pairs(tenants) do trim(c, tenant, of.to, 2 * of.many + LISTED_MAX) end
  call('ZREMRANGEBYRANK', ENDED .. c.tag, 0, taken - 1)
  return purged
end
