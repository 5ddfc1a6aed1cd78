//! `rehearse`

use crate::support::Place;

#[test]
fn rehearse_goes_up_and_back_on_copies_and_says_what_it_left_out() {
    insta::assert_snapshot!(Place::lab().run(&["rehearse"]).text(), @r#"
    $ switchback rehearse
    --- stderr
    rehearsal on copies
    prepare
      ok require that the release is pinned to 0.7.x (seen: v0.7.27)
      ok require that no table of an earlier try is in the way (seen: 0 rows)
      ok require that the database holds the application's own tables, columns and indexes, and nothing else (seen: 0 rows)
      ok require that every backup has its machine (seen: 0 rows)
      ok require that every setting is the JSON it has to be (seen: 0 rows)
      ok try out a backup of db while it runs (SPAN, SIZE, 169 rows)
    change
      ok back db up and prove the backup (SPAN, SIZE, 169 rows)
      ok move settings and overdue notices from machine names to server ids (SPAN, 3 rows)
      ok rename {machine_name} to {server_name} in notification templates (SPAN, 1 row)
      ok alter machines, backups in db (SPAN)
    prove
      ok prove that every machine is a server now, value by value (seen: 5 rows equal)
      ok prove that every backup is there, value by value (seen: 156 rows equal)
      ok prove that no other configuration changed (seen: 4 rows)
      ok prove that every setting belongs to a server (seen: 0 rows)
      ok prove that the version is stamped (seen: 3.0)
      ok prove that no reference leads nowhere (seen: 0 rows)
      ok take our rows out of db and give it back (SPAN)
    commit point: everything is proven; writers are let in from here on
    rehearsed
    going back, as asked
      undone: take our rows out of db and give it back (SPAN)
      undone: alter machines, backups in db (SPAN)
      undone: rename {machine_name} to {server_name} in notification templates (SPAN)
      undone: move settings and overdue notices from machine names to server ids (SPAN)
      undone: back db up and prove the backup (SPAN)
      undone: try out a backup of db while it runs (SPAN)
    rolled back: as before

    rehearsed on copies: change and proof of the data took SPAN, the way back SPAN, and the copies are equal to what they were
    not rehearsed:
      stop-app: app stays as it is
      start-app: app is not started over a copy: its playbook has no `rehearse:` for it
      ensure-health: http://127.0.0.1:PORT/api/health is the running service, not a copy
      ensure-summary: http://127.0.0.1:PORT/api/summary is the running service, not a copy
      ensure-summary-2: http://127.0.0.1:PORT/api/summary is the running service, not a copy
    4 steps of the change are measured; the next plan has these timings
    --- exit 0
    "#);
}

#[test]
fn rehearse_leaves_no_copies_and_better_estimates() {
    let place = Place::lab();
    let before = place.bytes("data/backups.db");
    assert_eq!(place.run(&["rehearse"]).exit, Some(0));
    assert!(!place.path().join(".switchback/rehearsal").exists());
    assert!(place.bytes("data/backups.db") == before);
    let plan = place.run(&["plan", "--json"]).json();
    let steps = plan["steps"].as_array().unwrap();
    let alter = steps.iter().find(|step| step["id"] == "alter-db").unwrap();
    assert_eq!(alter["estimate"]["origin"], "rehearsed");
}

#[test]
fn rehearse_as_json_ends_with_its_figures() {
    let lines = Place::lab().run(&["rehearse", "--json"]).json_lines();
    let last = lines.last().unwrap();
    assert_eq!(last["rehearsed"], true);
    assert!(last["data_ms"].is_u64() && last["way_back_ms"].is_u64(), "{last}");
    assert_eq!(last["not_rehearsed"].as_array().unwrap().len(), 5, "{last}");
}
