//! `reconcile`: compares every table that was moved with where it went, row by row. Only the planner puts it in, before
//! the playbook's own proofs.

use super::Copy;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::error::trouble;
use switchback_engine::{AnyStep, Condition, Overlay, Preview, Step, StepError, Work};
use switchback_flow::{Options, TableMove, TableProof, differing, prove};
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::words;
use switchback_site::Site;

/// How many tables and rows an error names.
const NAMED: usize = 20;

/// The step: it has no effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    /// The copies between the same two databases, in their order.
    pub copies: Vec<Copy>,
}

/// Returns the proofs that a plan with these steps needs: one for each pair of databases that rows are moved between, so
/// that a table that several copies fill is read once.
pub fn proofs(steps: &[&dyn AnyStep]) -> Vec<Box<dyn AnyStep>> {
    let mut found: Vec<Reconcile> = Vec::new();
    for step in steps.iter().filter(|step| step.kind() == Copy::KIND) {
        let Ok(copy) = serde_json::from_value::<Copy>(step.body()) else { continue };
        let pair = |one: &Reconcile| {
            one.copies
                .iter()
                .any(|known| known.from.target == copy.from.target && known.to.target == copy.to.target)
        };
        match found.iter_mut().find(|one| pair(one)) {
            Some(one) => one.copies.push(copy),
            None => found.push(Reconcile { copies: vec![copy] }),
        }
    }
    found.into_iter().map(|one| Box::new(one) as Box<dyn AnyStep>).collect()
}

impl Reconcile {
    fn prove(&self, site: &Site, work: &Work<'_>) -> Result<Vec<TableProof>, StepError> {
        let Some(copy) = self.copies.first() else { return Ok(Vec::new()) };
        let (from, to) = copy.ends(site)?;
        Ok(prove(&self.moves(), &from, &to, Options::default(), work.tell)?)
    }

    fn moves(&self) -> Vec<TableMove> {
        self.copies.iter().flat_map(Copy::moves).collect()
    }

    /// Names rows that differ in one table; where that cannot be told, says why.
    fn rows(&self, proof: &TableProof, site: &Site, work: &Work<'_>) -> Result<Vec<String>, StepError> {
        let Some(copy) = self.copies.first() else { return Ok(Vec::new()) };
        let (from, to) = copy.ends(site)?;
        let rows = differing(&proof.table, &self.moves(), &from, &to, NAMED, work.tell);
        Ok(rows?.iter().map(|row| format!("  {row}")).collect())
    }

    fn pair(&self) -> (&str, &str) {
        self.copies.first().map_or(("", ""), |copy| (&copy.from.target, &copy.to.target))
    }
}

impl Step for Reconcile {
    const KIND: &'static str = "reconcile";
    type Before = ();

    fn describe(&self) -> String {
        let (from, to) = self.pair();
        format!("compare every row that was copied from {from} with {to}")
    }

    fn subject(&self) -> String {
        self.pair().1.to_owned()
    }

    fn touches(&self) -> Vec<Touch> {
        let (from, to) = self.pair();
        vec![Touch::new(from, Access::Reads), Touch::new(to, Access::Reads)]
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByUndo
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        let bytes = world.site.size(self.pair().0)?.unwrap_or(0);
        Ok(Preview::of(Vec::<String>::new(), 20 + bytes / BYTES_A_MS))
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        let proofs = self.prove(site, work)?;
        Ok(if proofs.iter().all(|proof| proof.equal) {
            Condition::Applied(seen(&proofs))
        } else {
            Condition::Pending
        })
    }

    fn prepare(&self, _site: &Site, _work: &Work<'_>) -> Result<(), StepError> {
        Ok(())
    }

    fn apply(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<Value, StepError> {
        let proofs = self.prove(site, work)?;
        let unequal: Vec<&TableProof> = proofs.iter().filter(|proof| !proof.equal).collect();
        if unequal.is_empty() {
            return Ok(seen(&proofs));
        }
        let (from, to) = self.pair();
        let message = format!(
            "{} of {to} {} not hold what {from} does",
            words::count(unequal.len() as u64, "table"),
            if unequal.len() == 1 { "does" } else { "do" }
        );
        let mut found = trouble("R030", message);
        for proof in unequal.iter().take(NAMED) {
            found.details.push(format!(
                "{}: {} there, {} here",
                proof.table.describe(),
                words::count(proof.source.rows, "row"),
                words::count(proof.target.rows, "row")
            ));
            found.details.extend(self.rows(proof, site, work)?);
        }
        found.help = Some(
            "a trigger or another program changed rows while they were copied: find it, then plan again"
                .to_owned(),
        );
        Err(StepError::Failed(found))
    }

    fn undo(&self, _site: &Site, (): &(), _work: &Work<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Tables and rows, for the journal and the report.
fn seen(proofs: &[TableProof]) -> Value {
    let tables: Vec<Value> = proofs
        .iter()
        .map(|proof| {
            json!({ "table": proof.table.describe(), "rows": proof.target.rows, "dropped": proof.dropped,
                    "digest": proof.target.digest.to_string() })
        })
        .collect();
    let rows: u64 = proofs.iter().map(|proof| proof.target.rows).sum();
    json!({ "seen": format!("{} equal in {}", words::count(rows, "row"), words::count(proofs.len() as u64, "table")),
            "rows": rows, "tables": tables })
}

/// Bytes that are read at both ends in a millisecond, by a rule of thumb.
const BYTES_A_MS: u64 = 60_000;
