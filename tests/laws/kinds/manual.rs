//! `manual`: a person does it, when told.

use super::{file, probe};
use crate::bench::{Bench, Plan};
use crate::fixture::Fixture;
use std::collections::BTreeMap;
use std::sync::Arc;
use switchback_model::probe::Ask;
use switchback_site::Progress;
use switchback_steps::manual::Manual;

pub fn manual() -> Fixture {
    Fixture::of::<Manual>("manual", || {
        Bench::new(|folder| {
            let key = folder.join("key");
            let step = Manual {
                instruction: "put the key into its place".into(),
                done_when: probe(Ask::File { target: "key".into() }, "there"),
                undo: Some("take the key away".into()),
                within_ms: 10_000,
            };
            let targets = BTreeMap::from([("key".to_owned(), file(&key))]);
            let person = move |told: Progress| match told.doing.as_str() {
                "waiting for you: put the key into its place" => std::fs::write(&key, "there\n").unwrap(),
                "waiting for you: take the key away" => std::fs::remove_file(&key).unwrap(),
                _ => {}
            };
            Plan { targets, steps: vec![Box::new(step)], person: Arc::new(person), ..Plan::default() }
        })
    })
}
