//! The fixtures, by kind.

pub mod artifact;
pub mod backup;
pub mod check;
pub mod copy;
pub mod edit;
mod endpoint;
pub mod file;
pub mod made;
pub mod maintenance;
pub mod manual;
pub mod on_postgres;
pub mod postgres;
pub mod run;
pub mod service;
pub mod sql;
mod store;

use switchback_model::probe::{Ask, Probe, Verdict};
use switchback_model::target::TargetDef;

/// A question with one wanted answer.
fn probe(ask: Ask, wanted: &str) -> Probe {
    let verdict = Verdict::Is { any: vec![wanted.into()] };
    Probe { ask, verdict, otherwise: None, help: None, within_ms: 0 }
}

fn file(path: &std::path::Path) -> TargetDef {
    TargetDef::File { path: path.display().to_string() }
}
