//! The views: one stream of records, shown in several ways.

pub mod downtime;
mod json;
pub mod line;
pub mod maintenance;
pub mod plan;
pub mod report;
mod tty;

use crate::output::Output;
use std::sync::Arc;
use switchback_engine::{Bus, View};
use switchback_model::plan::Plan;

/// Chooses the view: records for machines, bars for a person who watches, else one line a record.
pub fn bus(output: &Output, plan: &Plan, verbose: bool) -> Bus {
    let plan = Arc::new(plan.clone());
    let view: Box<dyn View> = if output.json {
        Box::new(json::Json::new(*output))
    } else if output.terminal {
        Box::new(tty::Tty::new(*output, plan, verbose))
    } else {
        Box::new(line::Line::new(*output, plan, verbose))
    };
    Bus::new(vec![view])
}
