#![cfg_attr(test, allow(clippy::unwrap_used))]
//! The pure heart: playbooks, versions, plans, records, run state, diagnostics, digests.
//!
//! No files, no network, no clock, no environment: values in, values out.

pub mod decode;
pub mod diagnostic;
pub mod suggest;
pub mod text;
pub mod tree;
pub mod version;
