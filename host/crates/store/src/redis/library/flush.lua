-- Writing of what a step has collected: entries of the indexes, counters and messages.

-- Indexes ids in members of many, behind these letters.
local function pack_ids(key, score, letters, ids, most)
  for from = 1, #ids, most do
    call('ZADD', key, score, letters .. table.concat(ids, '', from, math.min(from + most - 1, #ids)))
  end
end

local flush
do

-- Largest number of ids in one member of the index of ended tasks.
local ENDED_MAX = 200

-- Indexes the ended tasks of a kind. A member has what a purge needs: the time of the end, `D` for dead letters, the tenant,
-- and behind a space the kind, the bytes that are counted for the tasks, of 16 digits, and their ids.
local function write_ended(c, kind, dead, ended)
  local ids, most = ended.ids, ENDED_MAX
  count(c, kind.tenant, kind.version, -ended.many)
  count_bytes(c, kind.tenant, ended.change)
  local head = c.padded .. (dead and 'D' or '-') .. kind.tenant .. ' ' .. kind.name
  local kept_until = text(c.now + 1000 * tonumber(dead and kind.kept_dead or kind.kept))
  for from = 1, #ids, most do
    local to, bytes = math.min(from + most - 1, #ids), 0
    for n = from, to do bytes = bytes + ended.bytes[n] end
    call('ZADD', ENDED .. c.tag, kept_until, head .. padded(bytes) .. table.concat(ids, '', from, to))
  end
  publish(c, ENDED_CHANNEL, ids)
end

-- Takes what was collected under a name; empty if there is nothing.
local NONE = {}
local function take(c, name)
  local collected = rawget(c, name)
  if not collected then return NONE end
  c[name] = nil
  return collected
end

local function publish_ready(c)
  local ready = {}
  for tenant, more in pairs(take(c, 'ready')) do ready[#ready + 1] = tenant .. ' ' .. more end
  call('PUBLISH', READY_CHANNEL .. c.channels, table.concat(ready, ' '))
end

function flush(c)
  if rawget(c, 'left') or rawget(c, 'freed') then shrink_leases(c) end
  for key, members in pairs(take(c, 'removed')) do in_chunks('ZREM', key, members) end
  for key, members in pairs(take(c, 'added')) do in_chunks('ZADD', key, members) end
  for line, fresh in pairs(take(c, 'fresh')) do in_chunks('RPUSH', fresh_key(c, line), fresh) end
  for tenant, ids in pairs(take(c, 'gone')) do in_chunks('SADD', tenant_key(c, GONE, tenant), ids) end
  for line, at in pairs(take(c, 'lines')) do call('ZADD', LINES .. c.tag, 'LT', text(at), line) end
  for tenant, ids in pairs(take(c, 'listed')) do pack_ids(tenant_key(c, TASKS, tenant), '0', c.padded, ids, LISTED_MAX) end
  for dead, ends in pairs(take(c, 'forgotten')) do
    for kind, ended in pairs(ends) do
      if ended.many > 0 then write_ended(c, kind, dead, ended) end
    end
  end
  if rawget(c, 'uses') then write_uses(c) end
  for tenant, counts in pairs(take(c, 'counts')) do
    for what, change in pairs(counts) do
      if change ~= 0 then call('HINCRBY', tenant_key(c, COUNTERS, tenant), what, text(change)) end
    end
  end
  for tenant, change in pairs(take(c, 'bytes')) do add_bytes(c, tenant, change) end
  c.stored = nil
  publish(c, CHANGED, take(c, 'changed'))
  publish(c, CANCELLED_CHANNEL, take(c, 'cancelled'))
  if rawget(c, 'ready') then publish_ready(c) end
end

end
