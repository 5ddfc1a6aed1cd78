//! `maintenance`, against an endpoint in each of its moods.
//!
//! An endpoint is on or off, so there is no foreign state that could be told from a state of ours.

use super::endpoint::{Endpoint, Mood};
use crate::bench::{Bench, Plan};
use crate::fixture::Fixture;
use serde_json::json;
use std::collections::BTreeMap;
use switchback_model::probe::{Ask, Probe, Verdict};
use switchback_model::target::{MaintenanceDef, Request, TargetDef};
use switchback_steps::maintenance::Maintenance;

pub fn maintenance() -> Fixture {
    Fixture::of::<Maintenance>("maintenance", || bench(Mood::Fine, Some(".on")))
}

pub fn slow() -> Fixture {
    Fixture::of::<Maintenance>("maintenance-slow", || bench(Mood::Slow, None))
}

pub fn loses_replies() -> Fixture {
    Fixture::of::<Maintenance>("maintenance-loses-replies", || bench(Mood::LosesReplies, None))
}

pub fn unreachable_at_times() -> Fixture {
    Fixture::of::<Maintenance>("maintenance-unreachable", || bench(Mood::Unreachable, None))
}

fn bench(mood: Mood, jq: Option<&str>) -> Bench {
    Bench::new(|_| {
        let endpoint = Endpoint::start(mood);
        let base = endpoint.base.clone();
        let post = |path: &str| Request { method: "POST".into(), url: format!("{base}/{path}") };
        let ask = Ask::Get { url: format!("{base}/mode"), jq: jq.map(str::to_owned), status: None };
        let verdict = match jq {
            Some(_) => Verdict::Is { any: vec![json!(true)] },
            None => Verdict::Matches { regex: "\"on\":true".into() },
        };
        let is_on = Probe { ask, verdict, otherwise: None, help: None, within_ms: 0 };
        let maintenance = MaintenanceDef { enter: post("enter"), leave: post("leave"), is_on };
        let def = TargetDef::Http {
            base,
            served_by: None,
            maintenance: Some(Box::new(maintenance)),
            component: None,
            accepts: Vec::new(),
        };
        let settled = endpoint.settled();
        let step = Maintenance { target: "api".into(), on: true, within_ms: 20_000 };
        Plan {
            targets: BTreeMap::from([("api".to_owned(), def)]),
            steps: vec![Box::new(step)],
            beyond: Some(Box::new(move || json!({ "maintenance": settled.is_on() }))),
            company: Some(Box::new(endpoint)),
            ..Plan::default()
        }
    })
}
