# What two transforms of one export must agree on: times are new in each, and so are the ids of tokens.
del(.creationTime, .updateTime) | if .exportMeta.kind == "UserToken" then del(.id) else . end
