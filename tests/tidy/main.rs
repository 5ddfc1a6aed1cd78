//! The house in order: walls between crates, files that stay small, a page and a fixture for every kind (CONTRIBUTING.md).
#![allow(clippy::unwrap_used)]

mod docs;
mod examples;
mod files;
mod source;
mod walls;
