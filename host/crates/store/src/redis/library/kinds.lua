-- Kinds: the words that many tasks have in common, kept once in each place. A kind's name is made of the hash of its words,
-- so a name never gets other words. A kind is there for as long as tasks refer to it: each is counted from its acceptance
-- until the index of ended tasks forgets it.

local read_kind, kind_of, use_kind, write_uses

-- Lua allows 200 names at a time, so the others are this block's own.
do

local function kind_key(c, name) return KIND .. c.tag .. ':' .. name end

-- Places in a kind's words: version, times for which a completed or cancelled task and a dead letter is kept, in seconds
-- of 7 digits, and the start of tenant, name, priority and number of attempts.
local KIND_WORDS, KIND_PATTERN = 84, '^(%S+) %S+ (%a+) (%d+)'
-- Last letter of the words of tasks with tags, behind the bytes that are counted for these.
local TAGGED_LETTER = 116

-- Returns the parts of a kind by its words.
function read_kind(name, words)
  local tenant, priority, attempts_max = words:match(KIND_PATTERN, KIND_WORDS)
  if not tenant then return false end
  local tagged = words:byte(-1) == TAGGED_LETTER
  return {
    tagged = tagged, record_bytes = RECORD_BYTES + (tagged and tonumber(words:match('(%d+)t$')) or 0),
    name = name, words = words, version = sub(words, 1, 22), kept = sub(words, 68, 74), kept_dead = sub(words, 76, 82),
    tenant = tenant, priority = priority, attempts_max = tonumber(attempts_max),
  }
end

-- Returns a kind; false if somebody removed it.
function kind_of(c, name)
  local known = c.kinds[name]
  if known == nil then
    local words = try_call('HGET', kind_key(c, name), 'words')
    known = type(words) == 'string' and read_kind(name, words)
    c.kinds[name] = known
  end
  return known
end

-- Counts tasks that refer to a kind, or no longer if negative, in `flush`.
function use_kind(c, name, change) c.uses[name] = (c.uses[name] or 0) + change end

-- Writes what `use_kind` has counted.
function write_uses(c)
  local uses = c.uses
  c.uses = nil
  for name, change in pairs(uses) do
    local key = kind_key(c, name)
    local left = call('HINCRBY', key, 'uses', text(change))
    if left <= 0 then
      call('UNLINK', key)
    elseif left == change then
      call('HSET', key, 'words', c.kinds[name].words)
    end
  end
end

end
