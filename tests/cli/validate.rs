//! `validate`

use crate::support::Place;

#[test]
fn validate_accepts_the_shipped_playbook() {
    insta::assert_snapshot!(Place::empty().run(&["validate", "duplistatus"]).text(), @r#"
    $ switchback validate duplistatus
    --- stderr
    duplistatus is valid: 19 steps in duplistatus/playbook.yaml
    --- exit 0
    "#);
    let value = Place::empty().run(&["validate", "duplistatus", "--json"]).json();
    assert_eq!((&value["valid"], &value["playbook"]), (&true.into(), &"duplistatus".into()));
}

#[test]
fn validate_reads_a_playbook_from_disk() {
    insta::assert_snapshot!(Place::notes().run(&["validate", "playbook.yaml"]).text(), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    notes is valid: 5 steps in ./playbook.yaml
    --- exit 0
    "#);
}
