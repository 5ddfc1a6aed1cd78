# Names what the new version would delete at its first start: members and linked accounts of what is gone.
if .data_type == "orgmember" then
  .data | @base64d | fromjson
  | select((known("users"; .user_id // "") and known("orgs"; .organization_id // "")) | not)
  | {kind: "organization member", id, user_id, organization_id}
elif .data_type == "user" then
  .data | @base64d | fromjson | .id as $user | .linked_accounts // {} | .[]
  | select(known("remotesources"; .remote_source_id // "") | not)
  | {kind: "linked account", id, user_id: $user, remote_source_id}
else empty end
