//! The pure heart: playbooks, versions, plans, records, run state, diagnostics, digests.
//!
//! No files, no network, no clock, no environment: values in, values out.
#![cfg_attr(test, allow(clippy::unwrap_used))]

extern crate self as switchback_model;

pub mod address;
pub mod artifact;
pub mod compile;
pub mod config;
pub mod decide;
pub mod decode;
pub mod diagnostic;
pub mod diff;
pub mod digest;
pub mod each;
pub mod equation;
pub mod jq;
pub mod maintenance;
pub mod path;
pub mod phase;
pub mod plan;
pub mod playbook;
pub mod private;
pub mod probe;
pub mod program;
pub mod record;
pub mod records;
pub mod run;
pub mod schema_file;
pub mod secret;
pub mod site_file;
pub mod suggest;
pub mod target;
pub mod text;
pub mod tree;
pub mod version;
pub mod words;
