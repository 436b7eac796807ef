-- Health of a WarmPool in Argo CD: what kstatus says, and Suspended for what a
-- person has switched off.
local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local function is(kind)
  return conditions[kind] ~= nil and conditions[kind].status == "True"
end

local function health(status, kind)
  return { status = status, message = conditions[kind].reason .. ": " .. conditions[kind].message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "Deleting: it goes when every rental of it is confirmed gone." }
end
if conditions.Ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "The manager has not looked at this generation yet." }
end

local switched = { Paused = true, DryRun = true, Draining = true, EmergencyStop = true, AccountFrozen = true }
local mode = obj.spec.mode
local off = mode == "Paused" or mode == "DryRun" or mode == "Drain"
if not is("Reconciling") and (off or switched[conditions.FullyProvisioned.reason]) then
  local status = health("Suspended", "FullyProvisioned")
  if off and not switched[conditions.FullyProvisioned.reason] then
    status.message = "spec.mode is " .. mode .. ". " .. status.message
  end
  return status
end
if is("Stalled") then
  return health("Degraded", "Stalled")
end
if is("Reconciling") or not is("Ready") then
  return health("Progressing", "FullyProvisioned")
end
return health("Healthy", "FullyProvisioned")
