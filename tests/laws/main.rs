//! The laws of a step, for every kind: looking changes nothing; what is said is true; from every cut there is a way back
//! and a way on; twice is once; steps are plain data; foreign work is left alone; a full disk loses nothing.
//!
//! A new kind brings a fixture (`kinds/`) and a line below; `every_kind_has_a_fixture` asks for both.

#![allow(clippy::unwrap_used)]

mod bench;
mod fixture;
mod golden;
mod kinds;
mod laws;
#[path = "../support/server.rs"]
mod server;

use std::collections::BTreeSet;
use switchback_steps::{own_steps, registry};

/// Puts every fixture under every law, a test each.
macro_rules! fixtures {
    ($($name:ident: $fixture:expr),+ $(,)?) => {
        $(mod $name {
            use super::*;
            #[test]
            fn looks_without_touching() { laws::look_without_touching(&$fixture) }
            #[test]
            fn tells_the_truth() { laws::tell_the_truth(&$fixture) }
            #[test]
            fn leads_back_from_every_cut() { laws::lead_back_from_every_cut(&$fixture) }
            #[test]
            fn leads_back_when_the_way_back_is_cut() { laws::lead_back_when_the_way_back_is_cut(&$fixture) }
            #[test]
            fn goes_on_from_every_cut() { laws::go_on_from_every_cut(&$fixture) }
            #[test]
            fn goes_on_through_many_lives() { laws::go_on_through_many_lives(&$fixture) }
            #[test]
            fn does_nothing_twice() { laws::do_nothing_twice(&$fixture) }
            #[test]
            fn survives_as_text() { golden::survive_as_text(&$fixture) }
            #[test]
            fn reads_its_golden_copy() { golden::read_the_golden_copy(&$fixture) }
            #[test]
            fn leaves_foreign_work_alone() { laws::leave_foreign_work_alone(&$fixture) }
            #[test]
            fn survives_a_full_disk() { laws::survive_a_full_disk(&$fixture) }
        })+

        fn fixtures() -> Vec<fixture::Fixture> {
            vec![$($fixture),+]
        }
    };
}

fixtures! {
    file_replace: kinds::file::replaced(),
    file_new: kinds::file::new(),
    file_absent: kinds::file::absent(),
    file_symlink: kinds::file::symlink_to_it(),
    file_mode: kinds::file::mode(),
    edit_env: kinds::edit::env(),
    edit_yaml: kinds::edit::yaml(),
    edit_secret: kinds::edit::with_a_secret(),
    edit_symlink: kinds::edit::behind_a_link(),
    backup: kinds::backup::backup(),
    backup_wal: kinds::backup::wal(),
    trial: kinds::backup::trial(),
    sweep: kinds::backup::sweep(),
    vacant: kinds::made::vacant(),
    backup_made: kinds::made::backup(),
    backup_made_empty: kinds::made::backup_over_an_empty_file(),
    start_made: kinds::made::start(),
    stop_made: kinds::made::stop(),
    sweep_made: kinds::made::sweep(),
    sweep_private: kinds::made::sweep_under_a_service(),
    sql: kinds::sql::sql(),
    alter_in_place: kinds::sql::in_place(),
    alter_rebuild: kinds::sql::rebuild(),
    alter_middle: kinds::sql::rename_and_add_in_the_middle(),
    run_undo: kinds::run::with_undo(),
    run_writes: kinds::run::with_writes(),
    run_files: kinds::run::with_files(),
    stop: kinds::service::stop(),
    start: kinds::service::start(),
    restart: kinds::service::restart(),
    restart_command: kinds::service::restart_by_command(),
    restart_person: kinds::service::restart_by_a_person(),
    maintenance: kinds::maintenance::maintenance(),
    maintenance_slow: kinds::maintenance::slow(),
    maintenance_loses_replies: kinds::maintenance::loses_replies(),
    maintenance_unreachable: kinds::maintenance::unreachable_at_times(),
    fetch: kinds::artifact::fetch(),
    fetch_pages: kinds::artifact::fetch_pages(),
    transform: kinds::artifact::transform(),
    transform_both: kinds::artifact::transform_by_both(),
    send: kinds::artifact::send(),
    send_each: kinds::artifact::send_each(),
    send_without_reply: kinds::artifact::send_without_reply(),
    send_takes_half: kinds::artifact::send_takes_half(),
    manual: kinds::manual::manual(),
    require: kinds::check::require(),
    ensure: kinds::check::ensure(),
    expect: kinds::check::expect(),
    copy: kinds::postgres::copy(),
    copy_indexes: kinds::postgres::copy_with_indexes(),
    copy_sqlite: kinds::copy::sqlite(),
    copy_to_sqlite: kinds::copy::to_sqlite(),
    reconcile: kinds::postgres::reconcile(),
    sql_postgres: kinds::postgres::sql(),
    backup_postgres: kinds::postgres::backup(),
    backup_postgres_dump: kinds::on_postgres::backup(),
    trial_postgres: kinds::on_postgres::trial(),
    sweep_postgres: kinds::on_postgres::sweep(),
    fingerprint_postgres: kinds::on_postgres::fingerprint(),
    run_postgres: kinds::on_postgres::run(),
    stop_postgres: kinds::on_postgres::stop(),
    require_postgres: kinds::on_postgres::require(),
    ensure_postgres: kinds::on_postgres::ensure(),
    expect_postgres: kinds::on_postgres::expect(),
}

#[test]
fn every_kind_has_a_fixture() {
    let covered: BTreeSet<_> = fixtures().iter().map(|fixture| fixture.kind).collect();
    let own = own_steps();
    let own = [own.backup, own.trial, own.vacant, own.fingerprint, own.sweep].map(|make| make("db").kind());
    let kinds = registry();
    let known: BTreeSet<_> = kinds.kinds().map(|kind| kind.name).chain(own).collect();
    assert_eq!(
        known.difference(&covered).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "kinds without a fixture"
    );
}

#[test]
fn every_fixture_has_its_own_name() {
    let names: BTreeSet<_> = fixtures().iter().map(|fixture| fixture.name).collect();
    assert_eq!(names.len(), fixtures().len());
}
