//! `list`

use crate::support::Place;

#[test]
fn list_names_each_playbook_with_its_upgrades() {
    insta::assert_snapshot!(Place::empty().run(&["list"]).text(), @r#"
    $ switchback list
    duplistatus    0.6 → 0.7        a dashboard for backups; machines become servers, settings are keyed by server id
    unstract       0.92 → 0.93      no-code LLM workflows; the schemas of all tenants become one
    --- exit 0
    "#);
}

#[test]
fn list_as_json_is_one_object() {
    insta::assert_snapshot!(Place::empty().run(&["list", "--json"]).text(), @r#"
    $ switchback list --json
    {"playbooks":[{"playbook":"duplistatus","upgrades":["0.6 → 0.7"],"title":"a dashboard for backups; machines become servers, settings are keyed by server id"},{"playbook":"unstract","upgrades":["0.92 → 0.93"],"title":"no-code LLM workflows; the schemas of all tenants become one"}]}
    --- exit 0
    "#);
}
