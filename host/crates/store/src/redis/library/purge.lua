-- Deletion of ended tasks on request. Each has an entry that the tick's purge finds later without a task; until then the
-- listing names it too.

local function purge_one(c, tenant, id)
  local t = read_task(c, id)
  if not t or t.tenant ~= tenant then return 'NONE' end
  if not is_ended(t.status) then return t.status end
  call('UNLINK', t.key)
  count_bytes(c, tenant, -bytes_of_task(t))
  drop(c, tenant_key(c, DEAD, tenant), t.since .. id)
  if t.kind.tagged then tags.drop(c, tenant, id, t.record) end
  return 'PURGED'
end

-- purge: deletes tasks, given as tenants and ids in turn, that have ended. Returns a word for each.
define('purge', { 'allow-oom' }, function(args)
  local c = begin(args)
  local answers = {}
  for at = OWN, #args, 2 do answers[#answers + 1] = purge_one(c, args[at], args[at + 1]) end
  flush(c)
  return answers
end)
