# The format of the unreleased generation before 0.8, which nobody is led to: it shows that the facts are understood.
def new($kind; $id): {kind: $kind, version: "v0.1.0", id: uuid($id), creationTime: $now, updateTime: $now};
.id as $old | .data_type as $type | .data | @base64d | fromjson
| if $type == "run" then
    (if rank("runs"; $old) == 0 then new("sequence"; "sequence") + {value: $runs, sequence_type: "run"} else empty end),
    (new("run"; "run \($old)") + {sequence: (rank("runs"; $old) + 1), run_config_id: uuid("runconfig \($old)")} + del(.id)
     | if .tasks then .tasks |= map_values(.task_timeout_interval = null) else . end)
  elif $type == "runconfig" then
    select(known("runs"; $old)) | new("runconfig"; "runconfig \($old)") + del(.id)
    | if .tasks then .tasks |= map_values(.task_timeout_interval = 0) else . end
  elif $type == "runcounter" then new("runcounter"; "runcounter \($old)") + {GroupID: $old, Value: .}
  else error("not a kind of a runservice") end
