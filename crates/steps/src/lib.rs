#![cfg_attr(test, allow(clippy::unwrap_used))]
//! The step kinds, one file each.

pub mod alter;
pub mod backup;
mod check;
pub mod copy;
mod database;
pub mod edit;
mod endpoint;
pub mod ensure;
pub mod expect;
pub mod fetch;
pub mod file;
pub mod fingerprint;
mod let_in;
pub mod lint;
pub mod maintenance;
pub mod manual;
pub mod require;
pub mod restart;
pub mod run;
mod secrets;
pub mod send;
mod services;
pub mod sql;
pub mod start;
pub mod stop;
pub mod sweep;
pub mod transform;
pub mod trial;
pub mod vacant;
pub mod written;

use switchback_engine::Registry;
use switchback_engine::planner::OwnSteps;

/// The one list of step kinds: what a playbook may say, and what a plan may hold.
macro_rules! steps {
    (kinds: $($kind:ty),+ ; steps: $($step:ty),+ $(,)?) => {
        /// Returns every step kind of this build.
        pub fn registry() -> Registry {
            let mut registry = Registry::default();
            $(registry.add::<$kind>();)+
            $(registry.add_step::<$step>();)+
            registry
        }
    };
}

steps! {
    kinds: alter::AlterKind, backup::BackupKind, copy::CopyKind, edit::EditKind, ensure::EnsureKind, expect::ExpectKind,
        fetch::FetchKind, file::FileKind, maintenance::MaintenanceKind, manual::ManualKind, require::RequireKind, restart::RestartKind, run::RunKind,
        send::SendKind,
        sql::SqlKind, start::StartKind, stop::StopKind,
        transform::TransformKind;
    steps: alter::Alter, backup::Backup, copy::Copy, copy::reconcile::Reconcile, edit::Edit, ensure::Ensure, expect::Expect, fetch::Fetch, file::PutFile,
        fingerprint::TakeFingerprint, maintenance::Maintenance,
        manual::Manual, require::Require, run::Run, send::Send, sql::Sql, start::Start, stop::Stop, sweep::Sweep,
        transform::Transform, trial::Trial, vacant::Vacant,
}

/// The steps that the planner puts into plans by itself.
pub fn own_steps() -> OwnSteps {
    OwnSteps {
        backup: |target| Box::new(backup::Backup { target: target.to_owned() }),
        trial: |target| Box::new(trial::Trial { target: target.to_owned() }),
        vacant: |target| Box::new(vacant::Vacant { target: target.to_owned() }),
        fingerprint: |target| Box::new(fingerprint::TakeFingerprint { target: target.to_owned() }),
        sweep: |target| Box::new(sweep::Sweep { target: target.to_owned() }),
        proofs: copy::reconcile::proofs,
    }
}
