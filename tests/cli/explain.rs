//! `explain`

use crate::support::Place;

#[test]
fn explain_reads_as_a_migration_guide() {
    insta::assert_snapshot!(Place::empty().run(&["explain", "duplistatus"]).text(), @"
    $ switchback explain duplistatus
    # Upgrading duplistatus

    a dashboard for backups; machines become servers, settings are keyed by server id

    ## What you have to say

    - `database`: the file backups.db in the data folder
    - `service`: how it is stopped and started; `none`: a person does it when asked, and a probe waits
    - `url`: where the service answers (default http://localhost:9666)
    - `release`: the exact release that the service will start, such as v0.7.27; never `latest`

    ## What is given up

    - settings of jobs or machines that no longer exist (`unresolved-settings`): the plan names each one; accepted by name
    - overdue notices of machines that no longer exist (`unresolved-notices`): the plan names each one; accepted by name

    ## From 0.6 to 0.7

    ### Before anything is touched

    1. Require that the release is pinned to 0.7.x
    1. Require that no table of an earlier try is in the way
    1. Require that the database holds the application's own tables, columns and indexes, and nothing else
    1. Require that every backup has its machine
    1. Require that every setting is the JSON it has to be

    ### Writers out: the downtime begins

    1. Stop app

    ### The change (a backup of every database it touches is made and proven first)

    1. Move settings and overdue notices from machine names to server ids — settings are matched against real pairs of machine and job, so a `:` inside a name is no obstacle
    1. Rename {machine_name} to {server_name} in notification templates — {machine_name} is unknown to 0.7 and would print as nothing
    1. Alter machines, backups in db — the version changes in the transaction of the schema, so one is never without the other

    ### The proof, with writers still out

    1. Prove that every machine is a server now, value by value
    1. Prove that every backup is there, value by value
    1. Prove that no other configuration changed
    1. Prove that every setting belongs to a server
    1. Prove that the version is stamped
    1. Prove that no reference leads nowhere

    ### Writers in: the downtime ends, and the way back from here loses what they write

    1. Start app in its new release

    ### A look from outside

    1. Look whether the new release answers as itself
    1. Look whether the new release sees every backup
    1. Look whether the new release sees every server — the rows are proven by then; uploads may have come in since, so the release is asked about the database as it is

    ### For those who use its interfaces

    - `totalBackups` of /api/summary keeps its name and changes its meaning: it counts jobs now, and the old figure is `totalBackupsRuns`
    - `totalMachines` of /api/summary is `totalServers` now
    - removed: /api/machines, /api/configuration, /api/machines-summary, /api/machines-with-backups, /api/detail/*/data, /api/notifications/resend-frequency, /api/notifications/test-template
    - /api/lastbackup/{name} answers 400 for a name that several servers share, and says `server` where it said `machine`
    - a PATCH of /api/servers/{id} with only `alias` also wipes `note` and `server_url`
    - an upload no longer updates the name of a server that it knows
    --- exit 0
    ");
}

#[test]
fn explain_as_json_carries_the_guide() {
    let value = Place::empty().run(&["explain", "duplistatus", "--json"]).json();
    assert!(value["guide"].as_str().unwrap().starts_with("# Upgrading duplistatus\n"));
}
