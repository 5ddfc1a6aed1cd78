//! The switchback command.

mod cli;
mod commands;
mod complaint;
mod context;
mod output;
mod shipped;
mod signals;
mod views;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let output = output::Output::new(cli.global.json, cli.global.no_color);
    match commands::run(&cli, &output) {
        Ok(code) => ExitCode::from(code),
        Err(complaint) => {
            output.complain(&complaint);
            ExitCode::from(complaint.exit)
        }
    }
}
