-- Writing of what a step has collected: entries of the indexes, counters and messages.

-- Indexes ids in members of many, behind these letters.
local function pack_ids(key, score, letters, ids, most)
  for from = 1, #ids, most do
    call('ZADD', key, score, letters .. table.concat(ids, '', from, math.min(from + most - 1, #ids)))
  end
end

local function flush(c)
  shrink_leases(c)
  for key, members in pairs(c.removed) do in_chunks('ZREM', key, members) end
  for key, members in pairs(c.added) do in_chunks('ZADD', key, members) end
  for line, fresh in pairs(c.fresh) do in_chunks('RPUSH', fresh_key(c, line), fresh) end
  for tenant, ids in pairs(c.gone) do in_chunks('SADD', tenant_key(c, GONE, tenant), ids) end
  for line, at in pairs(c.lines) do call('ZADD', LINES .. c.tag, 'LT', text(at), line) end
  for tenant, ids in pairs(c.listed) do pack_ids(tenant_key(c, TASKS, tenant), '0', c.padded, ids, LISTED_MAX) end
  -- A member of `ended` has what a purge needs: the time of the end, `D` for dead letters, the tenant, and ids. The first
  -- letters of its key here are the seconds for which they are kept.
  for of, ids in pairs(c.forgotten) do
    local kept_until = text(c.now + 1000 * tonumber(sub(of, 1, 7)))
    pack_ids(ENDED .. c.tag, kept_until, c.padded .. sub(of, 8) .. ' ', ids, ENDED_MAX)
    publish(c, ENDED_CHANNEL, ids)
  end
  for tenant, counts in pairs(c.counts) do
    for what, change in pairs(counts) do
      if change ~= 0 then call('HINCRBY', tenant_key(c, COUNTERS, tenant), what, change) end
    end
  end
  for tenant, change in pairs(c.bytes) do add_bytes(c, tenant, change) end
  publish(c, CHANGED, c.changed)
  publish(c, CANCELLED_CHANNEL, c.cancelled)
  local ready = {}
  for tenant, more in pairs(c.ready) do ready[#ready + 1] = tenant .. ' ' .. more end
  publish(c, READY_CHANNEL, ready)
  c.added, c.removed, c.counts, c.listed, c.forgotten, c.lines = {}, {}, {}, {}, {}, {}
  c.fresh, c.gone, c.bytes, c.stored = {}, {}, {}, {}
  c.changed, c.cancelled, c.ready, c.freed, c.left, c.ran = {}, {}, {}, {}, {}, {}
end
