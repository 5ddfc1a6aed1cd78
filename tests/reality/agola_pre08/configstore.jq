# The format of the unreleased generation before 0.8: it kept what refers to nothing, and wrote the switches of remote sources.
def some: with_entries(select(.value | . != null and . != false and . != "" and . != {} and . != []));
def new($kind): {kind: $kind, version: "v0.1.0", id, creationTime: $now, updateTime: $now} + (del(.id, .version) | some);
def kinds: {org: "organization", orgmember: "organizationmember", projectgroup: "projectgroup", project: "project",
            secret: "secret", variable: "variable"};
.data_type as $type | .data | @base64d | fromjson
| if $type == "user" then
    .id as $user
    | (del(.tokens, .linked_accounts, .password) | new("user")),
      (.tokens // {} | to_entries[] | {id: uuid("usertoken \($user) \(.key)"), name: .key, value, user_id: $user} | new("usertoken")),
      (.linked_accounts // {} | .[] + {user_id: $user} | new("linkedaccount"))
  elif $type == "remotesource" then
    new("remotesource") + {registration_enabled: (.registration_enabled != false), login_enabled: (.login_enabled != false)}
  elif $type | in(kinds) then kinds[$type] as $kind | del(.created_at) | new($kind)
  else error("not a kind of a configstore") end
