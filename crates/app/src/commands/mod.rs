//! The verbs, one file each.

mod apply;
mod carry_out;
mod confirm;
mod demo;
mod detect;
mod explain;
mod finalize;
mod init;
mod jq_child;
mod lab;
mod lint;
mod list;
mod plan;
mod rehearse;
mod report;
mod resume;
mod rollback;
mod schema;
mod status;
mod validate;
mod which;

use crate::cli::{Cli, Command};
use crate::complaint::Complaint;
use crate::output::Output;

/// Runs the verb. Returns the exit code, or everything that is wrong.
pub fn run(cli: &Cli, output: &Output) -> Result<u8, Complaint> {
    let global = &cli.global;
    match &cli.command {
        Command::List => list::run(output),
        Command::Init { playbook } => init::run(playbook, output),
        Command::Detect => detect::run(global, output),
        Command::Plan { to, out } => plan::run(global, to.as_deref(), out.as_deref(), output),
        Command::Rehearse { plan, keep } => rehearse::run(global, plan.as_deref(), *keep, output),
        Command::Apply { plan, yes, accept, on_interrupt } => {
            apply::run(global, plan.as_deref(), *yes, accept, *on_interrupt, output)
        }
        Command::Resume { accept, if_open, on_interrupt } => {
            resume::run(global, accept.as_deref(), *if_open, *on_interrupt, output)
        }
        Command::Rollback { run, yes, losing_writes } => {
            rollback::run(global, run.as_deref(), *yes, *losing_writes, output)
        }
        Command::Finalize { run, secrets_only: true, .. } => {
            finalize::secrets(global, run.as_deref(), output)
        }
        Command::Finalize { run, yes, .. } => finalize::run(global, run.as_deref(), *yes, output),
        Command::Status { run } => status::run(global, run.as_deref(), output),
        Command::Report { format, run } => report::run(global, *format, run.as_deref(), output),
        Command::Validate { playbook } => validate::run(playbook, output),
        Command::Lint { playbook } => lint::run(playbook, output),
        Command::Explain { playbook } => explain::run(playbook, output),
        Command::Schema { of } => schema::run(*of, output),
        Command::Demo { app, dir, machines, backups, build_only, running, fault } => demo::run(
            app.as_deref(),
            dir.as_deref(),
            (*machines, *backups),
            (*build_only, *running),
            fault,
            output,
        ),
        Command::JqChild => jq_child::run(),
        Command::LabService { app, args } => lab::run(app, args, output),
    }
}
