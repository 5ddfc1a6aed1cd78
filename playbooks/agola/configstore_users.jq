# Second pass: the users, without what has records of its own now. The password of the old version is not used any more.
select(.data_type == "user") | .data | @base64d | fromjson
| {exportMeta: {kind: "User"}, id, creationTime: $now, updateTime: $now, name, secret, admin}
| with_entries(select(.value | . != null and . != false and . != ""))
