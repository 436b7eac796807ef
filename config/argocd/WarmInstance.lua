-- Health of a WarmInstance in Argo CD: what kstatus says.
local ready
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    if condition.type == "Ready" then
      ready = condition
    end
  end
end

if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "Terminating: it goes when its rental is confirmed gone." }
end
if ready == nil then
  return { status = "Progressing", message = "The manager has not looked at it yet." }
end
local message = ready.reason .. ": " .. ready.message
if ready.status == "True" then
  return { status = "Healthy", message = message }
end
if obj.status.failure ~= nil then
  return { status = "Degraded", message = obj.status.failure.reason .. ": " .. (obj.status.failure.message or "") }
end
return { status = "Progressing", message = message }
