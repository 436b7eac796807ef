-- Health of a VastAccount in Argo CD: what kstatus says, and Suspended for what a
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
  return { status = "Progressing", message = "Deleting: it goes when no instance needs its key any more." }
end
if conditions.Ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "The manager has not looked at this generation yet." }
end
if conditions.Ready.reason == "AccountFrozen" or conditions.Ready.reason == "EmergencyStop" then
  return health("Suspended", "Ready")
end
if is("Stalled") then
  return health("Degraded", "Stalled")
end
if is("Reconciling") or not is("Ready") then
  return health("Progressing", "Ready")
end
return health("Healthy", "Ready")
