//! The report of a run: a fold over its journal, for people and for machines.

use super::downtime::downtime_ms;
use super::line::trouble_lines;
use super::maintenance;
use serde_json::{Value, json};
use switchback_model::maintenance::spells;
use switchback_model::plan::Plan;
use switchback_model::record::{Entry, Outcome, Record, Trouble};
use switchback_model::run::{RunState, StepState};
use switchback_model::words;

/// What a report is made of.
pub struct Report<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The journal.
    pub entries: &'a [Entry],
    /// The journal, folded.
    pub state: &'a RunState,
}

/// Where a run stands, in one word.
pub fn standing(state: &RunState) -> &'static str {
    if state.finalized {
        return "finalized";
    }
    match state.ended {
        Some(Outcome::Upgraded) => "upgraded",
        Some(Outcome::RolledBack) => "rolled back",
        Some(Outcome::Stuck | Outcome::Held) | None if state.held.is_some() => "held",
        _ if state.steps.iter().any(|step| matches!(step, StepState::Stuck(..))) => "stuck",
        _ if state.turn.is_some() => "going back",
        _ => "open",
    }
}

impl Report<'_> {
    fn took(&self, step: usize) -> u64 {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.record {
                Record::StepFinished { step: of, took_ms, .. } if *of == step => Some(*took_ms),
                _ => None,
            })
            .sum()
    }

    /// How long writers were out, as [`downtime_ms`] counts it.
    fn downtime_ms(&self) -> Option<u64> {
        downtime_ms(self.plan, self.entries)
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let steps: Vec<Value> = self
            .plan
            .steps
            .iter()
            .zip(&self.state.steps)
            .enumerate()
            .map(|(i, (planned, state))| {
                json!({
                    "id": planned.id, "phase": planned.phase, "kind": planned.kind, "says": planned.says,
                    "state": state.word(), "took_ms": self.took(i), "seen": self.seen(i),
                })
            })
            .collect();
        json!({
            "format": 1, "run": self.state.run, "plan": self.plan.digest, "playbook": self.plan.playbook.name,
            "from": self.plan.installed, "to": self.plan.wanted, "standing": standing(self.state),
            "committed": self.state.committed.is_some(), "lives": self.state.lives,
            "downtime_ms": self.downtime_ms(), "maintenance": maintenance::json(&spells(self.plan, self.entries)), "accepted": self.state.accepted,
            "losses": self.plan.losses, "steps": steps, "records": self.entries,
        })
    }

    fn seen(&self, step: usize) -> Value {
        let seen = self.entries.iter().rev().find_map(|entry| match &entry.record {
            Record::StepFinished { step: of, seen, .. } | Record::StepFound { step: of, seen }
                if *of == step =>
            {
                Some(seen.clone())
            }
            _ => None,
        });
        seen.unwrap_or(Value::Null)
    }

    /// What failed in a step, in the order of time; what was undone since has failed all the same.
    fn troubles(&self, step: usize) -> Vec<&Trouble> {
        let mut found: Vec<&Trouble> = Vec::new();
        for entry in self.entries {
            let (Record::StepFailed { step: of, trouble } | Record::UndoFailed { step: of, trouble }) =
                &entry.record
            else {
                continue;
            };
            if *of == step && !found.contains(&trouble) {
                found.push(trouble);
            }
        }
        found
    }

    /// For people.
    pub fn text(&self) -> String {
        let (plan, state) = (self.plan, self.state);
        let mut text = format!(
            "{} {} → {}: {}\nrun {}, plan {}\n",
            plan.playbook.name,
            plan.installed,
            plan.wanted,
            standing(state),
            state.run,
            plan.digest.short()
        );
        if let Some(first) = self.entries.first() {
            text.push_str(&format!(
                "begun {}, {}\n",
                first.at,
                words::count(u64::from(state.lives), "life").replace("lifes", "lives")
            ));
        }
        if let Some(ms) = self.downtime_ms() {
            text.push_str(&format!("downtime {}\n", words::duration(ms)));
        }
        text.extend(spells(plan, self.entries).iter().map(|spell| maintenance::line(spell) + "\n"));
        for loss in plan.losses.iter().filter(|loss| loss.needs_consent()) {
            let rows = loss.rows.as_deref().unwrap_or_default();
            text.push_str(&format!(
                "given up: {} ({}, {})\n",
                loss.says,
                loss.id,
                words::count(rows.len() as u64, "row")
            ));
            text.extend(rows.iter().map(|row| format!("  - {row}\n")));
        }
        text.push('\n');
        for (i, (planned, step)) in plan.steps.iter().zip(&state.steps).enumerate() {
            let took = self.took(i);
            let took = if took > 0 { format!("  {}", words::duration(took)) } else { String::new() };
            text.push_str(&format!("  {:<8} {:<9} {}{took}\n", planned.phase, step.word(), planned.says));
            if let Some(seen) =
                self.seen(i).get("seen").and_then(Value::as_str).filter(|seen| !seen.is_empty())
            {
                text.push_str(&format!("                     seen: {seen}\n"));
            }
            for trouble in self.troubles(i) {
                text.extend(trouble_lines(trouble).into_iter().map(|line| line + "\n"));
            }
        }
        text
    }
}
