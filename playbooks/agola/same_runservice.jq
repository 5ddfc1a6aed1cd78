# What two transforms of one export must agree on: ids and times are new in each, a run has its config beside it, and a
# config counts only as one of a run.
if .exportMeta.kind == "Run" then
  del(.id, .creationTime, .updateTime, .run_config_id) + {config: lookup("configs"; .run_config_id)}
elif .exportMeta.kind == "RunConfig" then {config: del(.id, .creationTime, .updateTime)}
else del(.id, .creationTime, .updateTime) end
