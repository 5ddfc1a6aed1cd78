# Fourth pass: the linked accounts of the users. The new version deletes those of a remote source that is gone, without a
# word; the program `orphans` names them beforehand.
select(.data_type == "user") | .data | @base64d | fromjson | .id as $user
| .linked_accounts // {} | .[] | select(known("remotesources"; .remote_source_id // ""))
| with_entries(select(.value | . != null and . != false and . != ""))
| {exportMeta: {kind: "LinkedAccount"}, id, creationTime: $now, updateTime: $now, user_id: $user} + del(.id, .version)
