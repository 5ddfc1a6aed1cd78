//! Mistakes that an author makes with artifacts: what is made, of whom, by whom, and for whom.

use crate::support::Place;

/// A playbook over two components with these steps, and what `validate` says of it.
fn validated(steps: &str) -> String {
    let place = Place::empty();
    place.write(
        "playbook.yaml",
        &format!(
            r#"playbook: notes
format: 1
inputs:
  users: {{type: url}}
  pages: {{type: url}}
  database: {{type: file}}
  service: {{type: service}}
targets:
  db: {{sqlite: "${{database}}"}}
  app: {{service: "${{service}}", stores: [db]}}
  users_api: {{http: "${{users}}", component: users, served_by: app, accepts: [notes.v2]}}
  pages_api: {{http: "${{pages}}", component: pages}}
artifacts:
  export: {{type: notes.v1, format: json-values, per: [users, pages], distinct: true}}
  moved: {{type: notes.v2, format: json-lines, per: [users, pages]}}
version:
  detect:
    - {{in: db, sql: "SELECT version FROM meta", means: {{"1": "1.0"}}}}
upgrades:
  - from: "1.0"
    to: "2.0"
    also: ["2.1"]
    change:
{steps}"#
        ),
    );
    place.run(&["validate", "playbook.yaml"]).text()
}

const FETCH: &str = "      - fetch: {from: users_api, get: /export, into: \"export[users]\"}\n";

#[test]
fn what_is_right_is_valid() {
    let text = validated(&format!(
        "{FETCH}      - transform: {{from: \"export[users]\", into: \"moved[users]\", passes: ['{{id, at: $now}}'], equations: [out = in]}}\n"
    ));
    assert!(text.contains("notes is valid"), "{text}");
}

/// The steps behind a `fetch` of the users, and what is said of them.
const WRONG: [(&str, &str); 10] = [
    (
        "- fetch: {from: pages_api, get: /export, into: \"moved[users]\"}",
        "error[P045]: moved[users] is not of pages, which answers at pages_api",
    ),
    (
        "- transform: {from: \"export[users]\", into: \"moved[pages]\", passes: ['.']}",
        "error[P045]: one component's records would become another's",
    ),
    (
        "- transform: {from: \"export[pages]\", into: \"moved[pages]\", passes: ['.']}",
        "error[P046]: `transform` reads export[pages], and no step before it makes that",
    ),
    (
        "- fetch: {from: users_api, get: /export, into: \"export[users]\"}",
        "error[P046]: `fetch` makes export[users], which a `fetch` before it has made",
    ),
    (
        "- send: {from: \"export[users]\", to: users_api, post: /import, read_back: {get: /export, into: \"moved[users]\"}}",
        "error[P045]: users_api does not take notes.v1",
    ),
    (
        "- fetch: {from: users_api, get: /export, into: \"export[user]\"}",
        "help: did you mean `export[users]`?",
    ),
    ("- fetch: {from: users_api, get: /export, into: exports}", "help: did you mean `export`?"),
    (
        "- transform: {from: \"export[users]\", into: \"moved[users]\", passes: ['.'], equations: [out = in - lost]}",
        "error[P047]: nothing counts `lost`: name it under `counted:`",
    ),
    (
        "- transform: {from: \"export[users]\", into: \"moved[users]\", passes: ['.x | nothing_like_it']}",
        "error[P015]: this is not a jq program",
    ),
    (
        "- transform: {from: \"export[users]\", into: \"moved[users]\"}",
        "error[P006]: nobody makes this by `programs`",
    ),
];

#[test]
fn every_mistake_is_pointed_at() {
    for (step, said) in WRONG {
        let text = validated(&format!("{FETCH}      {step}\n"));
        assert!(text.contains(said) && text.contains("--- exit 10"), "{step}\n{text}");
        assert!(text.contains("^^"), "no place is shown: {text}");
        assert_eq!(text.matches(said).count(), 1, "said once for all releases: {text}");
    }
}

#[test]
fn an_endpoint_whose_stores_nobody_knows_is_sent_nothing() {
    let text = validated(
        "      - fetch: {from: pages_api, get: /export, into: \"moved[pages]\"}\n      \
         - send: {from: \"moved[pages]\", to: pages_api, post: /import, read_back: {get: /export, into: \"export[pages]\"}}\n",
    );
    assert!(text.contains("error[P048]: nobody knows what a `send` to pages_api changes"), "{text}");
}
