//! `lab-service`: stands in for a service of a lab, as a process of its own so that it can be killed.

use crate::complaint::Complaint;
use crate::output::Output;

/// Serves until it is ended.
pub fn run(app: &str, args: &[String], _output: &Output) -> Result<u8, Complaint> {
    match app {
        "duplistatus" => {
            let code = switchback_labs::duplistatus::stand_in_main(args.to_vec());
            Ok(u8::try_from(code).unwrap_or(1))
        }
        "agola" => Ok(u8::try_from(switchback_labs::agola::stand_in_main(args)).unwrap_or(1)),
        "unstract" => Ok(u8::try_from(switchback_labs::unstract::stand_in_main(args)).unwrap_or(1)),
        other => Err(Complaint::usage(format!("there is no lab of `{other}`"))),
    }
}
