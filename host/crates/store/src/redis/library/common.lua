-- Shared parts of every step: time, names, and what is collected during a step and written at its end.
--
-- Redis does not undo the writes of a function that fails. So a step first reads and checks a task and then writes its
-- record; index entries, counters and messages are collected and written after all records (`flush`). The record is
-- authoritative: a missing index entry is restored by the audit, and an entry that contradicts its record is dropped by
-- the call that reads it.
--
-- The cost of a task is mostly its Redis commands and the data that passes through them. So commands cover many tasks
-- where possible, and what decides about a task is three texts: its `record`, which is written once, its `state`, and
-- while it runs its fence in the hash `leased`, which names its lease. All that one call leases or renews is one lease.
-- The parts of these texts have fixed places, since a pattern costs more than several `sub`; `records.rs` and
-- `states.rs` explain them.

-- Redis's functions and the most frequent one of Lua's, which are not available while the library is loaded.
local call, try_call, sub

-- Formats a number. Redis would write it with all its digits, which is slow.
local function text(number) return string.format('%d', number) end

-- Formats a number so that texts sort like the numbers.
local function padded(number) return string.format('%016d', tonumber(number)) end

-- Index of the first argument specific to a call. Common to all calls are the partition's hash tag, the time (empty
-- except in tests), and the suffix of channels.
local OWN = 4

-- What a step has collected: tables that are made at their first use, since most steps need few of them.
local COLLECTED = {
  __index = function(c, name)
    local made = {}
    c[name] = made
    return made
  end,
}

local function begin(args)
  call, try_call, sub = redis.call, redis.pcall, string.sub
  -- Redis's own time, unless a test sets another.
  local now = tonumber(args[2])
  if not now then
    local time = call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return setmetatable({
    tag = args[1], now = now, at = text(now), padded = padded(now), channels = args[3],
    tasks = TASK .. args[1] .. ':',
    due = DUE .. args[1], leased = LEASED .. args[1],
  }, COLLECTED)
end

local function function_key(c, id) return FUNCTION .. c.tag .. ':' .. id end
local function versions_key(c, tenant, name) return VERSIONS .. c.tag .. ':' .. tenant .. ':' .. name end
local function tenant_key(c, name, tenant) return name .. c.tag .. ':' .. tenant end
-- Name of the line in which the ready tasks of a tenant and a priority are queued.
local function line_of(tenant, priority) return tenant .. ':' .. priority end
-- Tasks of a line that were never leased or delayed, in the order of their acceptance, and the others, which came back.
local function fresh_key(c, line) return FRESH .. c.tag .. ':' .. line end
local function ready_key(c, line) return READY .. c.tag .. ':' .. line end

local function entries(of, key)
  local known = of[key]
  if not known then
    known = {}
    of[key] = known
  end
  return known
end

-- Adds an index entry in `flush`. Takes precedence over a removal of the same entry in the same call.
local function add(c, key, member, score)
  local added = entries(c.added, key)
  local at = #added
  added[at + 1] = score
  added[at + 2] = member
end

-- Removes an index entry in `flush`.
local function drop(c, key, member)
  local removed = entries(c.removed, key)
  removed[#removed + 1] = member
end

-- Records that a task of a line expires at `at`: the line is examined no later.
local function expires_in(c, line, at)
  at = tonumber(at)
  if at < (c.lines[line] or math.huge) then c.lines[line] = at end
end

local function count(c, tenant, what, change)
  local counts = entries(c.counts, tenant)
  counts[what] = (counts[what] or 0) + change
end

-- Counts bytes that are stored for a tenant, or no longer if negative, in `flush`.
local function count_bytes(c, tenant, change) c.bytes[tenant] = (c.bytes[tenant] or 0) + change end

-- Counts bytes at once. A tenant without any has no entry.
local function add_bytes(c, tenant, change)
  local stored = STORED .. c.tag
  if change ~= 0 and call('HINCRBY', stored, tenant, text(change)) <= 0 then call('HDEL', stored, tenant) end
end

-- Returns the bytes stored for a tenant, with those that this call has counted.
local function stored_bytes(c, tenant)
  local known = c.stored[tenant]
  if not known then
    known = tonumber(call('HGET', STORED .. c.tag, tenant) or 0)
    c.stored[tenant] = known
  end
  return known + (c.bytes[tenant] or 0)
end

-- Returns true if a tenant is being deleted, or was lately, so that nothing new of it is accepted.
local function is_closed(c, tenant)
  if c.closed[tenant] == nil then c.closed[tenant] = call('HGET', tenant_key(c, COUNTERS, tenant), 'closed') end
  return c.closed[tenant]
end

-- Lua cannot unpack many more values than this at a time.
local CHUNK = 1000

local function in_chunks(command, key, items)
  for from = 1, #items, CHUNK do
    call(command, key, unpack(items, from, math.min(from + CHUNK - 1, #items)))
  end
end

-- Returns one answer for each item.
local function ask_chunks(command, key, items)
  if #items == 0 then return {} end
  if #items <= CHUNK then return call(command, key, unpack(items)) end
  local all = {}
  for from = 1, #items, CHUNK do
    local some = call(command, key, unpack(items, from, math.min(from + CHUNK - 1, #items)))
    for at, answer in ipairs(some) do all[from + at - 1] = answer end
  end
  return all
end

-- Tells those who wait of these tasks; all ids have the same length.
local function publish(c, channel, ids)
  if #ids > 0 then call('PUBLISH', channel .. c.channels, table.concat(ids)) end
end

-- Size of an id, and largest number of ids in one member of a listing: a member costs as much as its first id.
local ID, LISTED_MAX = 36, 500

-- Letter 15 of an id made from an idempotency key, its version. Only such an id comes again for another task, once its
-- record was removed by hand.
local MADE = 56

-- Returns the ids in a text from a place on.
local function ids_in(text, from)
  local ids = {}
  for at = from, #text, ID do ids[#ids + 1] = text:sub(at, at + ID - 1) end
  return ids
end

-- Registers a function. Flags: `allow-oom` for calls that free memory, lease or end work, and for administrative
-- ones, which are small, so that a full Redis still drains and can be managed; `no-writes` for reads.
local function define(name, flags, body)
  redis.register_function { function_name = PREFIX .. name, flags = flags, callback = function(_, args) return body(args) end }
end
