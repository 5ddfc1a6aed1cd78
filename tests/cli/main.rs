//! What a person sees of each verb: standard output, standard error and exit code, as snapshots (CONTRIBUTING.md).
#![allow(clippy::unwrap_used)]

mod support;

mod apply;
mod author_artifacts;
mod author_mistakes;
mod author_slips;
mod demo;
mod detect;
mod edit;
mod explain;
mod finalize;
mod held;
mod help;
mod init;
mod json_schema;
mod lint;
mod list;
mod loops;
mod operator_mistakes;
mod operator_moments;
mod outcomes;
mod plan;
mod postgres_mistakes;
mod rehearse;
mod report;
mod resume;
mod rollback;
mod schema;
mod service_mistakes;
mod status;
mod validate;
