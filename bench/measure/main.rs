//! The figures of `bench/README.md`: each compares two ways to the same end, in turns, in one run on one machine.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod apply;
mod backup;
mod journal;
mod plan;
mod rebuild;
mod rounds;
mod server;
mod servers;
mod service;
mod transform;
mod typed;

use std::path::PathBuf;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let at = |place: usize| PathBuf::from(args.get(place).expect("an argument is missing; see bench/run.sh"));
    let rounds = || args.last().and_then(|count| count.parse().ok()).unwrap_or(5);
    let count = |place: usize| args.get(place).and_then(|count| count.parse().ok()).expect("how many rows?");
    match args.first().map(String::as_str) {
        Some("backup") => backup::measure(&at(1), &at(2), rounds()),
        Some("rebuild") => rebuild::measure(&at(1), &at(2), rounds()),
        Some("plan") => plan::measure(&at(1), &at(2), rounds()),
        Some("journal") => journal::measure(&at(1), &at(2)),
        Some("apply") => apply::measure(&at(1), &at(2)),
        Some("typed") => typed::measure(&at(1), count(2), rounds()),
        Some("servers") => servers::measure(&at(1), count(2), rounds()),
        Some("transform") => {
            let runs = u32::try_from(count(3)).expect("so many runs are no bench");
            transform::measure(&at(1), &at(2), runs, rounds());
        }
        _ => panic!("name a figure; see bench/run.sh"),
    }
}
