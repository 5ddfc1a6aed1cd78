//! The crash suite: wherever a run is cut, killed or told to stop, `resume` and `rollback` lead to one of two states,
//! and never to a person.
#![allow(clippy::unwrap_used)]

mod alone;
mod broken_builds;
#[path = "../support/chance.rs"]
mod chance;
mod cuts;
#[path = "../support/ends.rs"]
mod ends;
mod full_disk;
mod half_commit;
mod http;
mod kill_moments;
mod kill_points;
#[path = "../support/lab.rs"]
mod lab;
mod lies;
#[path = "../support/own_service.rs"]
mod own_service;
mod postgres;
mod private;
#[path = "../support/program.rs"]
mod program;
mod recuts;
mod script;
#[path = "../support/server.rs"]
mod server;
mod signals;
mod slow_stop;
mod unswept;
mod window;
