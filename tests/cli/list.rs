//! `list`

use crate::support::Place;

#[test]
fn list_names_each_playbook_with_its_upgrades() {
    insta::assert_snapshot!(Place::empty().run(&["list"]).text(), @r#"
    $ switchback list
    duplistatus    0.6 → 0.7        a dashboard for backups; machines become servers, settings are keyed by server id
    --- exit 0
    "#);
}

#[test]
fn list_as_json_is_one_object() {
    insta::assert_snapshot!(Place::empty().run(&["list", "--json"]).text(), @r#"
    $ switchback list --json
    {"playbooks":[{"playbook":"duplistatus","upgrades":["0.6 → 0.7"],"title":"a dashboard for backups; machines become servers, settings are keyed by server id"}]}
    --- exit 0
    "#);
}
