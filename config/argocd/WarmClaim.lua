-- Health of a WarmClaim in Argo CD: what kstatus says. A claim that was released
-- or has expired is over as it should be, and holds nothing up.
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
  return { status = "Progressing", message = "Deleting: it goes when its instance is released." }
end
if conditions.Ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "The manager has not looked at this generation yet." }
end
if is("Finished") and (conditions.Finished.reason == "Expired" or conditions.Finished.reason == "Released") then
  return health("Suspended", "Finished")
end
if is("Stalled") then
  return health("Degraded", "Stalled")
end
if is("Reconciling") or not is("Ready") then
  return health("Progressing", "Ready")
end
return health("Healthy", "Ready")
