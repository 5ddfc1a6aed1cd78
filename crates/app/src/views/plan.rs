//! A plan, for people: its first screen says what changes, what is lost, how long, how much disk, and the way back.

use switchback_model::phase::Phase;
use switchback_model::plan::{Access, Origin, Plan, PlannedLoss, PlannedStep, Reversal};
use switchback_model::target::TargetDef;
use switchback_model::words;

/// How many rows of a loss the first screen names.
const NAMED: usize = 5;
/// How many lines of a step's diff are shown.
const DIFF: usize = 12;

/// Renders a plan.
pub fn text(plan: &Plan, verbose: bool) -> String {
    let mut page = Page::default();
    page.line(format!("{} {} → {}", plan.playbook.name, plan.installed, reached(plan)));
    page.line(String::new());
    page.part("changes", changes(plan));
    page.part("is lost", lost(&plan.losses));
    let risked =
        plan.risks.iter().map(|risk| format!("{} (`--accept {}`)", risk.says, risk.id)).collect::<Vec<_>>();
    if !risked.is_empty() {
        page.part("is risked", risked);
    }
    page.part("downtime", vec![downtime(plan)]);
    page.part("disk", disk(plan));
    page.part("way back", way_back(plan));
    let by_hand = by_hand(plan);
    if !by_hand.is_empty() {
        page.part("by hand", by_hand);
    }
    if let Some(rest) = plan.stretches.get(1..).filter(|rest| !rest.is_empty()) {
        let hops =
            rest.iter().flat_map(|stretch| &stretch.hops).map(|hop| format!("{} → {}", hop.from, hop.to));
        page.part("later", vec![format!("{} (planned after this one)", hops.collect::<Vec<_>>().join(", "))]);
    }
    page.line(String::new());
    steps(&mut page, plan, verbose);
    if !plan.notes.is_empty() {
        page.line(String::new());
        page.line("for those who use its interfaces:".to_owned());
        for note in &plan.notes {
            page.line(format!("  - {note}"));
        }
    }
    page.line(String::new());
    page.line(format!("plan {}", plan.digest.short()));
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: String) {
        self.text.push_str(&line);
        self.text.push('\n');
    }

    /// A label with its lines beside it.
    fn part(&mut self, label: &str, lines: Vec<String>) {
        for (i, line) in lines.into_iter().enumerate() {
            let label = if i == 0 { label } else { "" };
            self.line(format!("  {label:<9} {line}"));
        }
    }
}

fn reached(plan: &Plan) -> String {
    plan.stretches
        .first()
        .and_then(|stretch| stretch.hops.last())
        .map_or_else(|| plan.wanted.clone(), |hop| hop.to.clone())
}

fn touched(plan: &Plan, name: &str, access: Access) -> bool {
    plan.steps
        .iter()
        .any(|step| step.touches.iter().any(|touch| touch.target == name && touch.access == access))
}

fn changes(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, def) in &plan.targets {
        if let Some(path) = def.path() {
            let verb = match touched(plan, name, Access::Writes) {
                true if def.is_made_by_us() => "is made",
                true => "is changed",
                false => "stays as it is",
            };
            lines.push(format!("{name}: {path} {verb}"));
        }
        if let TargetDef::Postgres { url, schemas, .. } = def {
            let verb = if touched(plan, name, Access::Writes) { "is changed" } else { "stays as it is" };
            let schemas = match schemas.as_slice() {
                [one] => format!("schema {one}"),
                [first, .., last] => format!("{} schemas, {first} to {last},", schemas.len()),
                [] => "no schema".to_owned(),
            };
            lines.push(format!("{name}: {schemas} of {url} {verb}"));
        }
        if let TargetDef::Service { .. } = def {
            let stops = touched(plan, name, Access::Stops);
            let starts = touched(plan, name, Access::Starts);
            lines.push(match (stops, starts) {
                (true, true) => format!("{name}: is stopped, and started in its new release"),
                (true, false) => format!("{name}: is stopped"),
                (false, true) => format!("{name}: is started in its new release"),
                (false, false) => format!("{name}: stays as it is"),
            });
        }
    }
    lines
}

fn lost(losses: &[PlannedLoss]) -> Vec<String> {
    let mut lines = Vec::new();
    for loss in losses.iter().filter(|loss| loss.needs_consent()) {
        match &loss.rows {
            Some(rows) => {
                lines.push(format!(
                    "{} {} (`--accept {}`)",
                    words::count(loss.count().unwrap_or(0), "row") + ":",
                    loss.says,
                    loss.id
                ));
                lines.extend(rows.iter().take(NAMED).map(|row| format!("  - {row}")));
                let more = loss.count().unwrap_or(0).saturating_sub(NAMED as u64);
                if more > 0 {
                    let names = if loss.more == 0 { "names all" } else { "names more" };
                    lines.push(format!("  … and {more} more: `switchback plan --json` {names}"));
                }
            }
            None => {
                let why = loss.unmeasured.as_deref().unwrap_or_default();
                lines.push(format!("{} (not measured: {why}; `--accept {}`)", loss.says, loss.id));
            }
        }
    }
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    }
    lines
}

fn downtime(plan: &Plan) -> String {
    let estimate = plan.downtime();
    match estimate.origin {
        Origin::Rehearsed => format!("about {}, as rehearsed", words::duration(estimate.ms)),
        Origin::Guessed => {
            format!(
                "about {}, in part guessed: `switchback rehearse` measures it",
                words::duration(estimate.ms)
            )
        }
    }
}

fn disk(plan: &Plan) -> Vec<String> {
    plan.disk
        .iter()
        .map(|need| {
            format!(
                "{} of {} free in {} ({})",
                words::bytes(need.needed),
                words::bytes(need.free),
                need.folder,
                need.why
            )
        })
        .chain(plan.disk_unseen.iter().cloned())
        .collect()
}

fn way_back(plan: &Plan) -> Vec<String> {
    let never: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| step.reversal == Reversal::Never)
        .map(|step| step.id.as_str())
        .collect();
    let mut lines = vec![
        "by itself if anything fails before writers are let in; then by".to_owned(),
        "`switchback rollback` until `switchback finalize`, listing what it would lose".to_owned(),
    ];
    if !never.is_empty() {
        lines.push(format!("NOT past: {} (each accepted by `--accept NAME`)", never.join(", ")));
    }
    lines
}

fn by_hand(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, def) in &plan.targets {
        if let TargetDef::Service { spec, .. } = def
            && spec.as_str() == Some("none")
        {
            lines.push(format!("you stop {name} and start its new release when asked; the run waits for it"));
        }
    }
    lines
}

fn steps(page: &mut Page, plan: &Plan, verbose: bool) {
    let width = plan.steps.iter().map(|step| step.id.chars().count()).max().unwrap_or(0).min(36);
    let mut phase: Option<Phase> = None;
    for (i, step) in plan.steps.iter().enumerate() {
        if phase != Some(step.phase) {
            phase = Some(step.phase);
            if step.phase.needs_commit() && !plan.steps[..i].iter().any(|before| before.phase.needs_commit())
            {
                page.line("  ── commit point: writers are let in below this line ──".to_owned());
            }
            page.line(format!("  {}", step.phase));
        }
        page.line(format!("    {:<width$}  {}", step.id, shortened(&step.says, 110 - width.min(60))));
        detail(page, step, verbose);
    }
}

fn detail(page: &mut Page, step: &PlannedStep, verbose: bool) {
    let is_change = step.phase == Phase::Change && step.kind != "backup";
    if is_change || verbose {
        for line in step.preview.iter().take(DIFF) {
            page.line(format!("        {line}"));
        }
        if step.preview.len() > DIFF {
            page.line(format!("        … and {} more lines", step.preview.len() - DIFF));
        }
    }
    if let Some(why) = step.why.as_ref().filter(|_| verbose) {
        page.line(format!("        why: {why}"));
    }
    if let Some(place) = step.place.as_ref().filter(|_| verbose) {
        page.line(format!("        asked for at {}:{}", place.file, place.line));
    }
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        text.to_owned()
    } else {
        text.chars().take(width - 1).collect::<String>() + "…"
    }
}
