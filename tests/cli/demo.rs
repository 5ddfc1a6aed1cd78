//! `demo`

use crate::support::Place;

#[test]
fn demo_ends_in_an_upgraded_system_and_leaves_nothing_running() {
    let place = Place::empty();
    insta::assert_snapshot!(place.run(&["demo", "--dir", "."]).text(), @r#"
    $ switchback demo --dir .
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
    duplistatus 0.6 → 0.7: upgraded
    --- stderr
    an installation of duplistatus 0.6 with 5 machines and 156 backups: DIR
    its old release runs at http://127.0.0.1:PORT
    $ switchback plan
    written to DIR/.switchback/plan.json

    $ switchback rehearse
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

    $ switchback apply --yes --accept unresolved-settings --accept unresolved-notices
    run RUN
    prepare
      ok require that the release is pinned to 0.7.x (seen: v0.7.27)
      ok require that no table of an earlier try is in the way (seen: 0 rows)
      ok require that the database holds the application's own tables, columns and indexes, and nothing else (seen: 0 rows)
      ok require that every backup has its machine (seen: 0 rows)
      ok require that every setting is the JSON it has to be (seen: 0 rows)
      ok try out a backup of db while it runs (SPAN, SIZE, 169 rows)
    freeze  (the downtime begins)
      ok stop app (SPAN)
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
    thaw
      ok start app in its new release (SPAN)
    confirm
      ok look whether the new release answers as itself (seen: true)
      ok look whether the new release sees every backup (seen: 156)
      ok look whether the new release sees every server (seen: 5)
    upgraded
    the way back stays open: `switchback rollback`; once all is well, `switchback finalize` drops what is kept for it

    $ switchback status
    run RUN, 22 of 22 steps, in DIR/.switchback/runs/RUN


    look around: switchback report --site DIR/site.yaml
    go back:     switchback rollback --yes --site DIR/site.yaml
    the demo's service is stopped
    --- exit 0
    "#);
    let value = place.run(&["status", "--json"]).json();
    assert_eq!(value["standing"], "upgraded");
}

#[test]
fn demo_over_an_installation_that_exists_is_refused() {
    insta::assert_snapshot!(Place::lab().run(&["demo", "--dir", "."]).text(), @r#"
    $ switchback demo --dir .
    --- stderr
    error[U010]: cannot build the lab: build over DIR/data/backups.db: it exists
    help: name an empty folder with `--dir DIR`, or leave it out for a new one
    --- exit 2
    "#);
}

#[test]
fn demo_of_an_unknown_application_names_the_known() {
    insta::assert_snapshot!(Place::empty().run(&["demo", "notes"]).text(), @r#"
    $ switchback demo notes
    --- stderr
    error[U001]: there is no demo of `notes`
    help: there is one of: duplistatus, unstract, agola
    --- exit 2
    "#);
}
