//! `jq-child`: the limited child that runs a playbook's jq program.

use crate::complaint::{Complaint, exit};

/// Serves one question.
pub fn run() -> Result<u8, Complaint> {
    match switchback_site::jq_child::serve(
        std::io::stdin().lock(),
        std::io::stdout().lock(),
        std::io::stderr(),
    ) {
        Ok(()) => Ok(exit::DONE),
        Err(error) => Err(Complaint::new(exit::BUG, "X002", format!("cannot serve: {error}"))),
    }
}
