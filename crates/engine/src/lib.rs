#![cfg_attr(test, allow(clippy::unwrap_used))]
//! The step contract, the planner, the journal and the one loop. It knows no step kind and no view.

mod artifact_room;
mod artifacts;
mod broken;
pub mod bus;
mod cover;
pub mod detect;
mod disk;
mod draft;
pub mod each;
pub mod error;
pub mod facts;
pub mod journal;
pub mod overlay;
pub mod planner;
pub mod playbook;
pub mod registry;
pub mod rehearsal;
pub mod run_dir;
pub mod runner;
mod servers;
pub mod session;
pub mod state_dir;
pub mod step;
pub mod timing;

pub use bus::{Bus, View};
pub use error::StepError;
pub use journal::{Journal, JournalError};
pub use overlay::Overlay;
pub use playbook::LoadedPlaybook;
pub use registry::{Kind, Registry};
pub use run_dir::{RunDir, RunDirError};
pub use runner::{RunError, Runner, RunnerParts};
pub use step::{AnyStep, Condition, Preview, Step, Work};
