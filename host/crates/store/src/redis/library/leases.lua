-- Leases: what one call leases or renews, and the fences of its tasks.

local function lease_key(c, number) return LEASE .. c.tag .. ':' .. number end

-- Ends a lease, whatever it still holds.
local function end_lease(c, number)
  call('UNLINK', lease_key(c, number))
  call('ZREM', LEASES .. c.tag, number)
end

-- Letter behind the number of a lease that holds one task, so that nobody counts what is left of it.
local ONE = '1'

-- Takes out of their leases what has left them.
local function shrink_leases(c)
  local ran, left, freed = c.ran, c.left, c.freed
  c.ran, c.left, c.freed = nil, nil, nil
  for tenant, many in pairs(ran) do count(c, tenant, 'running', -many) end
  in_chunks('HDEL', c.leased, freed)
  for number, many in pairs(left) do
    local is_of_one = #number == 23 and sub(number, 23) == ONE
    local is_over = is_of_one or call('HINCRBY', lease_key(c, number), 'left', text(-many)) <= 0
    if is_over then end_lease(c, number) end
  end
end

-- Places in a fence: attempt and token, time of the lease, releases, what the end of the task needs of its record, and
-- number of the lease.
local function claim_of(fence) return sub(fence, 1, 32) end
local function since_of(fence) return sub(fence, 33, 48) end
local function lease_of(fence) return sub(fence, 77) end

-- Returns the fixed text of a lease: `R`, or `B` if it was renewed, its end, the worker, and the tenant. Nil if there is
-- no such lease.
local function read_lease(c, number)
  local known = c.leases[number]
  if known == nil then
    known = call('HGET', lease_key(c, number), 'of')
    c.leases[number] = known
  end
  return known or nil
end
local function letter_of(lease) return sub(lease, 1, 1) end
local function worker_of(lease) return sub(lease, 18, 39) end

-- Writes a lease of these tasks, given as ids and fences in turn; `by` is the dispatcher, if known. Returns the number of tasks that were in no lease, and all
-- ids as one text.
local function write_lease(c, number, letter, lease_until, worker, tenant, held, by)
  local ids, new = {}, 0
  for n = 1, #held / 2 do ids[n] = held[2 * n - 1] end
  for from = 1, #held, CHUNK do
    new = new + call('HSET', c.leased, unpack(held, from, math.min(from + CHUNK - 1, #held)))
  end
  local all = table.concat(ids)
  call('HSET', lease_key(c, number), 'of', letter .. lease_until .. worker .. tenant, 'left', text(#ids), 'ids', all,
    'by', by or '')
  call('ZADD', LEASES .. c.tag, lease_until, number)
  return new, all
end

-- Returns the fences of a lease's tasks that it still holds, by their ids, and the ids in their order.
local function held_by(c, number)
  local ids, held, order = ids_in(call('HGET', lease_key(c, number), 'ids') or '', 1), {}, {}
  local fences = ask_chunks('HMGET', c.leased, ids)
  for at, id in ipairs(ids) do
    if fences[at] and lease_of(fences[at]) == number then
      held[id] = fences[at]
      order[#order + 1] = id
    end
  end
  return held, order
end

-- Returns the ids among these whose record exists.
local function existing(c, ids)
  local keys, found, known = {}, 0, {}
  for at, id in ipairs(ids) do keys[at] = c.tasks .. id end
  for at = 1, #keys, CHUNK do
    found = found + call('EXISTS', unpack(keys, at, math.min(at + CHUNK - 1, #keys)))
  end
  for at, id in ipairs(ids) do known[id] = found == #ids or call('EXISTS', keys[at]) == 1 end
  return known
end

-- Takes a task out of its lease.
local function leave_lease(c, id, number, tenant)
  c.freed[#c.freed + 1] = id
  c.left[number] = (c.left[number] or 0) + 1
  c.ran[tenant] = (c.ran[tenant] or 0) + 1
end

-- Takes an id without a record out of its lease.
local function free_fence(c, id, fence)
  local number = lease_of(fence)
  local lease = read_lease(c, number)
  if lease then leave_lease(c, id, number, sub(lease, 40)) else c.freed[#c.freed + 1] = id end
end
