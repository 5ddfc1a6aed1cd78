//! `list`

use crate::support::Place;

#[test]
fn list_names_each_playbook_with_its_upgrades() {
    insta::assert_snapshot!(Place::empty().run(&["list"]).text(), @r#"
    $ switchback list
    agola          <0.7.1 → 0.7.1, 0.7.1 → 0.8, 0.7.1 → 0.9, 0.7.1 → 0.10 CI/CD; what etcd and the object storage held becomes SQL, and nothing is lost on the way
    duplistatus    0.6 → 0.7        a dashboard for backups; machines become servers, settings are keyed by server id
    unstract       0.92 → 0.93      no-code LLM workflows; the schemas of all tenants become one
    --- exit 0
    "#);
}

#[test]
fn list_as_json_is_one_object() {
    insta::assert_snapshot!(Place::empty().run(&["list", "--json"]).text(), @r#"
    $ switchback list --json
    {"playbooks":[{"playbook":"agola","upgrades":["<0.7.1 → 0.7.1","0.7.1 → 0.8","0.7.1 → 0.9","0.7.1 → 0.10"],"title":"CI/CD; what etcd and the object storage held becomes SQL, and nothing is lost on the way"},{"playbook":"duplistatus","upgrades":["0.6 → 0.7"],"title":"a dashboard for backups; machines become servers, settings are keyed by server id"},{"playbook":"unstract","upgrades":["0.92 → 0.93"],"title":"no-code LLM workflows; the schemas of all tenants become one"}]}
    --- exit 0
    "#);
}
