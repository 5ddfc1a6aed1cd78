//! `report`

use crate::support::Place;

#[test]
fn report_tells_the_run_for_people() {
    insta::assert_snapshot!(Place::upgraded().run(&["report"]).text(), @r#"
    $ switchback report
    duplistatus 0.6 → 0.7: upgraded
    run RUN, plan DIGEST
    begun TIME, 1 life
    downtime SPAN
    given up: settings of jobs or machines that no longer exist (unresolved-settings, 4 rows)
      - : · no machine of that name
      - attic:Never run · no backup of that job
      - no colon at all · no machine of that name
      - retired-pc:Files · no machine of that name
    given up: overdue notices of machines that no longer exist (unresolved-notices, 2 rows)
      - no colon at all · no machine of that name
      - retired-pc:Files · no machine of that name

      prepare  found     require that the release is pinned to 0.7.x
                         seen: v0.7.27
      prepare  found     require that no table of an earlier try is in the way
                         seen: 0 rows
      prepare  found     require that the database holds the application's own tables, columns and indexes, and nothing else
                         seen: 0 rows
      prepare  found     require that every backup has its machine
                         seen: 0 rows
      prepare  found     require that every setting is the JSON it has to be
                         seen: 0 rows
      prepare  finished  try out a backup of db while it runs  SPAN
      freeze   found     stop app
      change   finished  back db up and prove the backup  SPAN
      change   finished  move settings and overdue notices from machine names to server ids  SPAN
      change   finished  rename {machine_name} to {server_name} in notification templates  SPAN
      change   finished  alter machines, backups in db  SPAN
      prove    found     prove that every machine is a server now, value by value
                         seen: 5 rows equal
      prove    found     prove that every backup is there, value by value
                         seen: 156 rows equal
      prove    found     prove that no other configuration changed
                         seen: 4 rows
      prove    found     prove that every setting belongs to a server
                         seen: 0 rows
      prove    found     prove that the version is stamped
                         seen: 3.0
      prove    found     prove that no reference leads nowhere
                         seen: 0 rows
      prove    finished  take our rows out of db and give it back  SPAN
      thaw     finished  start app in its new release  SPAN
      confirm  found     look whether the new release answers as itself
                         seen: true
      confirm  found     look whether the new release sees every backup
                         seen: 156
      confirm  found     look whether the new release sees every server
                         seen: 5
    --- exit 0
    "#);
}

#[test]
fn report_as_json_has_plan_steps_and_records() {
    let place = Place::upgraded();
    let value = place.run(&["report", "--format", "json"]).json();
    assert_eq!((&value["format"], &value["standing"]), (&1.into(), &"upgraded".into()));
    assert_eq!(value["steps"].as_array().unwrap().len(), 22);
    assert!(value["records"].as_array().unwrap().len() > 22);
    assert_eq!(place.run(&["report", "--json"]).json(), value);
    let run = value["run"].as_str().unwrap();
    assert_eq!(place.run(&["report", "--run", run, "--json"]).json(), value);
}
