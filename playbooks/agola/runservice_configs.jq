# First pass over the export of the old runservice: what the runs were configured with. A config without a run is left out;
# the equations of the step count it.
if .data_type == "runconfig" then
  .id as $old | select(known("runs"; $old))
  | .data | @base64d | fromjson
  | {exportMeta: {kind: "RunConfig"}, id: uuid("runconfig \($old)"), creationTime: $now, updateTime: $now} + del(.id)
  | if .tasks then .tasks |= map_values(.task_timeout_interval = 0) else . end
elif .data_type == "run" or .data_type == "runcounter" then empty
else error("a runservice has no records of the kind \(.data_type | tojson)") end
