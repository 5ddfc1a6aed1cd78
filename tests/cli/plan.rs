//! `plan`

use crate::support::Place;

#[test]
fn plan_says_what_an_operator_has_to_know() {
    insta::assert_snapshot!(Place::lab().run(&["plan"]).text(), @r#"
    $ switchback plan
    duplistatus 0.6 → 0.7

      changes   app: is stopped, and started in its new release
                db: DIR/data/backups.db is changed
      is lost   4 rows: settings of jobs or machines that no longer exist (`--accept unresolved-settings`)
                  - : · no machine of that name
                  - attic:Never run · no backup of that job
                  - no colon at all · no machine of that name
                  - retired-pc:Files · no machine of that name
                2 rows: overdue notices of machines that no longer exist (`--accept unresolved-notices`)
                  - no colon at all · no machine of that name
                  - retired-pc:Files · no machine of that name
      downtime  about SPAN, in part guessed: `switchback rehearse` measures it
      disk      SIZE of SIZE free in DIR/.switchback (backups SIZE; db: change SIZE, way back SIZE)
      way back  by itself if anything fails before writers are let in; then by
                `switchback rollback` until `switchback finalize`, listing what it would lose

      prepare
        require-text      require that the release is pinned to 0.7.x
        require-db        require that no table of an earlier try is in the way
        require-db-2      require that the database holds the application's own tables, columns and indexes, and nothin…
        require-db-3      require that every backup has its machine
        require-db-4      require that every setting is the JSON it has to be
        trial-db          try out a backup of db while it runs
      freeze
        stop-app          stop app
      change
        backup-db         back db up and prove the backup
        sql-settings      move settings and overdue notices from machine names to server ids
        sql-templates     rename {machine_name} to {server_name} in notification templates
        alter-db          alter machines, backups in db
            rename table machines to servers (in place)
            rebuild servers: add server_url after name, add alias after server_url, add note after alias
            rename column machine_id of backups to server_id (in place)
            drop index idx_backups_machine_id
            create index idx_backups_server_id
      prove
        ensure-servers    prove that every machine is a server now, value by value
        ensure-backups    prove that every backup is there, value by value
        ensure-db         prove that no other configuration changed
        ensure-db-2       prove that every setting belongs to a server
        ensure-db-3       prove that the version is stamped
        ensure-db-4       prove that no reference leads nowhere
        sweep-db          take our rows out of db and give it back
      ── commit point: writers are let in below this line ──
      thaw
        start-app         start app in its new release
      confirm
        ensure-health     look whether the new release answers as itself
        ensure-summary    look whether the new release sees every backup
        ensure-summary-2  look whether the new release sees every server

    for those who use its interfaces:
      - `totalBackups` of /api/summary keeps its name and changes its meaning: it counts jobs now, and the old figure is `totalBackupsRuns`
      - `totalMachines` of /api/summary is `totalServers` now
      - removed: /api/machines, /api/configuration, /api/machines-summary, /api/machines-with-backups, /api/detail/*/data, /api/notifications/resend-frequency, /api/notifications/test-template
      - /api/lastbackup/{name} answers 400 for a name that several servers share, and says `server` where it said `machine`
      - a PATCH of /api/servers/{id} with only `alias` also wipes `note` and `server_url`
      - an upload no longer updates the name of a server that it knows

    plan DIGEST
    --- stderr
    written to DIR/.switchback/plan.json
    --- exit 0
    "#);
}

#[test]
fn the_part_of_the_plan_before_the_steps_fits_one_screen() {
    let shown = Place::lab().run(&["plan"]);
    let text = shown.text();
    let first: Vec<_> = text.lines().skip(1).take_while(|line| *line != "  prepare").collect();
    assert!(first.len() <= 24, "{} lines", first.len());
    for line in &first {
        assert!(line.chars().count() <= 120, "{line}");
    }
    for part in ["changes", "is lost", "downtime", "disk", "way back"] {
        assert!(first.iter().any(|line| line.trim_start().starts_with(part)), "no {part}");
    }
}

#[test]
fn plan_verbose_says_why_and_where_a_step_comes_from() {
    let shown = Place::lab().run(&["plan", "-v"]);
    assert!(shown.stdout.contains("why: "), "{}", shown.text());
    assert!(shown.stdout.contains("asked for at duplistatus/playbook.yaml:"), "{}", shown.text());
}

#[test]
fn plan_as_json_is_the_plan_file() {
    let place = Place::lab();
    let value = place.run(&["plan", "--json", "--out", "here.json"]).json();
    let file: serde_json::Value = serde_json::from_str(&place.read("here.json")).unwrap();
    assert_eq!(value, file);
    assert_eq!((&value["installed"], &value["wanted"]), (&"0.6".into(), &"0.7".into()));
}

#[test]
fn plan_says_everything_that_stands_in_the_way_at_once() {
    let place = Place::empty();
    let faults = ["--fault", "broken-settings", "--fault", "user-view", "--fault", "orphan-backup"];
    let built = place.run(&[&["demo", "--build-only", "--dir", "."][..], &faults].concat());
    assert_eq!(built.exit, Some(0), "{}", built.stderr);
    insta::assert_snapshot!(place.run(&["plan"]).text(), @"
    $ switchback plan
    --- stderr
    error[D005]: cannot measure the loss `unresolved-settings`: ask: malformed JSON
      --> duplistatus/playbook.yaml:54
    help: mend what the other refusals name, or what this query cannot read

    error[R004]: the database holds things that are not the application's, or lacks some that are
      --> duplistatus/playbook.yaml:85
      view `recent_failures` on `recent_failures` is not the application's
    help: keep their definitions, take them out, and put them back after the upgrade, for the new names of tables and columns

    error[R004]: backups of a machine that does not exist
      --> duplistatus/playbook.yaml:92
      157 · no-such-machine · Files
    help: give the machine back (INSERT INTO machines) or delete these rows; the application's own upgrade stops on them and says it is healthy

    error[R004]: settings that are not the JSON they have to be
      --> duplistatus/playbook.yaml:99
      backup_settings · the value is not JSON
    help: mend the value of this key in the table `configurations`, or delete the row to get the application's defaults

    nothing was changed
    --- exit 11
    ");
}

#[test]
fn plan_of_what_is_installed_has_nothing_to_do() {
    insta::assert_snapshot!(Place::lab().run(&["plan", "--to", "0.6"]).text(), @"
    $ switchback plan --to 0.6
    --- stderr
    nothing to do: 0.6 is installed
      the schema version in db_version: 2.0, which means 0.6
      the tables of its entities: machines, which means <0.7
    --- exit 0
    ");
}
