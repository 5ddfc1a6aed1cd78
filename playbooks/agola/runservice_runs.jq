# Second pass: the runs, numbered in the order of their old ids, and behind them the counters.
if .data_type == "run" then
  .id as $old
  | if known("runconfigs"; $old) then . else error("this run has no config in the export") end
  | .data | @base64d | fromjson
  | {exportMeta: {kind: "Run"}, id: uuid("run \($old)"), creationTime: $now, updateTime: $now,
     sequence: (rank("runs"; $old) + 1), run_config_id: uuid("runconfig \($old)")} + del(.id)
  | if .tasks then .tasks |= map_values(.task_timeout_interval = null) else . end
elif .data_type == "runcounter" then
  {exportMeta: {kind: "RunCounter"}, id: uuid("runcounter \(.id)"), creationTime: $now, updateTime: $now,
   GroupID: .id, Value: (.data | @base64d | fromjson)}
else empty end
