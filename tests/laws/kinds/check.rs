//! `require`, `ensure`, `expect`: questions, which have no effect.

use super::probe;
use super::store::{self, DB};
use crate::bench::Bench;
use crate::fixture::{Fixture, Hand};
use std::collections::BTreeMap;
use switchback_model::probe::{Ask, Probe, Store};
use switchback_steps::ensure::Ensure;
use switchback_steps::expect::Expect;
use switchback_steps::require::Require;

const LOST: &[Hand] = &[("a row is gone", a_row_is_gone)];

pub fn require() -> Fixture {
    Fixture {
        has_effect: false,
        foreign_before: LOST,
        ..Fixture::of::<Require>("require", || {
            store::over_database(true, vec![Box::new(Require { probe: three_machines() })], 0)
        })
    }
}

pub fn ensure() -> Fixture {
    Fixture {
        has_effect: false,
        foreign_before: LOST,
        ..Fixture::of::<Ensure>("ensure", || {
            store::over_database(true, vec![Box::new(Ensure { probe: three_machines() })], 0)
        })
    }
}

/// It never blocks, so no foreign state stops it.
pub fn expect() -> Fixture {
    Fixture {
        has_effect: false,
        ..Fixture::of::<Expect>("expect", || {
            store::over_database(true, vec![Box::new(Expect { probe: three_machines() })], 0)
        })
    }
}

fn three_machines() -> Probe {
    let store = Store { target: "db".into(), backup: false };
    let ask = Ask::Sql { store, sql: "SELECT count(*) FROM machines".into(), params: BTreeMap::new() };
    Probe { otherwise: Some("a machine is missing".into()), ..probe(ask, "3") }
}

fn a_row_is_gone(bench: &Bench) {
    store::app(&bench.path(DB)).execute("DELETE FROM machines WHERE id = 'b'", []).unwrap();
}
