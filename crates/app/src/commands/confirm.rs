//! The question before a verb that cannot be taken back lightly: a person says yes, or nothing is changed.

use crate::complaint::{Complaint, exit};
use crate::output::Output;

/// Asks; anything but a yes is a refusal. Where nobody is there to answer, `help` says what can be added instead.
pub fn confirm(question: &str, help: &str, output: &Output) -> Result<(), Complaint> {
    let refusal = match output.ask(question) {
        Some(true) => return Ok(()),
        Some(false) => Complaint::new(exit::SITE, "A002", "not asked to go on"),
        None => Complaint::new(exit::SITE, "A003", "nobody is there to say yes").help(help),
    };
    Err(refusal.state("nothing was changed"))
}
