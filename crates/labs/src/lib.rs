//! Old installations and stand-in services to rehearse upgrades on.
//!
//! The one crate that may name an application.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agola;
pub mod cluster;
mod draw;
pub mod duplistatus;
pub mod http;
pub mod unstract;
