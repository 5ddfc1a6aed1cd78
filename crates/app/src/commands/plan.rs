//! `plan`: path, steps, diffs, losses, downtime and disk needed; changes nothing.

use crate::cli::Global;
use crate::complaint::{Complaint, exit};
use crate::context::Context;
use crate::output::Output;
use crate::views;
use serde_json::json;
use std::path::Path;
use switchback_engine::detect::Installed;
use switchback_engine::planner::Planned;
use switchback_engine::run_dir::write_durably;

/// Prints the plan and leaves it for `rehearse` and `apply`.
pub fn run(global: &Global, to: Option<&str>, out: Option<&Path>, output: &Output) -> Result<u8, Complaint> {
    let context = Context::load(global)?;
    context.say_verbose(output, global.verbose);
    let site = context.site()?;
    let plan = match context.plan(to, &site)? {
        Planned::Nothing(installed) => return Ok(nothing(&installed, output)),
        Planned::Plan(plan) => plan,
    };
    let default = context.state.plan();
    let path = out.unwrap_or(&default);
    write_durably(path, plan.write().as_bytes()).map_err(|error| {
        Complaint::io("write", path, &error)
            .help("name a file in a folder that you can write to, with `--out FILE`")
    })?;
    if output.json {
        output.data(&plan.write());
    } else {
        output.data(&views::plan::text(&plan, global.verbose));
        output.say(&format!("written to {}", path.display()));
    }
    Ok(exit::DONE)
}

/// Says that the wanted release is installed.
pub fn nothing(installed: &Installed, output: &Output) -> u8 {
    if output.json {
        output.value(
            &json!({ "nothing_to_do": true, "installed": installed.version, "evidence": installed.evidence }),
        );
    } else {
        output.say(&format!("nothing to do: {} is installed", installed.version));
        for line in &installed.evidence {
            output.say(&format!("  {line}"));
        }
    }
    exit::DONE
}
