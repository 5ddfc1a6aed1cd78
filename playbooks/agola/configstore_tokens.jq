# Third pass: the tokens of the users, whose values are kept, so that they still work.
select(.data_type == "user") | .data | @base64d | fromjson | .id as $user
| .tokens // {} | to_entries[]
| {exportMeta: {kind: "UserToken"}, id: uuid("usertoken \($user) \(.key)"), creationTime: $now, updateTime: $now,
   name: .key, value, user_id: $user}
