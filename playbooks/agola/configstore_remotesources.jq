# First pass over the export of the old configstore: the remote sources, which linked accounts refer to. A switch that the
# old version left out is on; the new one leaves out what is off.
select(.data_type == "remotesource") | .data | @base64d | fromjson
| .registration_enabled |= (. != false) | .login_enabled |= (. != false)
| del(.version) | with_entries(select(.value | . != null and . != false and . != "" and . != {} and . != []))
| {exportMeta: {kind: "RemoteSource"}, id, creationTime: $now, updateTime: $now} + del(.id)
