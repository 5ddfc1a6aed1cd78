//! The planner: from a playbook and a site to a plan. It looks at the site and changes nothing.

use crate::cover::{self, Covered};
use crate::detect::{self, Installed};
use crate::disk::{self, Needs};
use crate::draft::{Draft, Drafted, draft, place, wanted};
use crate::error::{StepError, chain};
use crate::facts;
use crate::overlay::Overlay;
use crate::playbook::LoadedPlaybook;
use crate::registry::Registry;
use crate::state_dir::{self, StateDir};
use crate::step::{AnyStep, Preview};
use crate::timing::Timings;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use switchback_model::compile::{Compile, InputValue};
use switchback_model::diagnostic::Diagnostics;
use switchback_model::digest::Digest;
use switchback_model::path;
use switchback_model::plan::{
    Access, Estimate, Fact, Origin, PLAN_FORMAT, Place, Plan, PlannedLoss, PlannedRisk, PlannedStep,
    PlaybookRef,
};
use switchback_model::playbook::{InputType, Upgrade};
use switchback_model::secret::SecretRef;
use switchback_model::target::TargetDef;
use switchback_model::version::Version;
use switchback_site::{Site, SiteError, Tell};

/// Something that stands in the way of an upgrade. All of them are said at once, and nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// Stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// Further lines: rows, names.
    pub details: Vec<String>,
    /// What mends it.
    pub help: Option<String>,
    /// The line of the playbook that asks for it.
    pub place: Option<Place>,
}

impl Refusal {
    /// A refusal with nothing but its words.
    pub fn new(code: &str, message: impl Into<String>) -> Refusal {
        Refusal {
            code: code.to_owned(),
            message: message.into(),
            details: Vec::new(),
            help: None,
            place: None,
        }
    }

    /// Adds what mends it.
    pub fn help(mut self, help: impl Into<String>) -> Refusal {
        self.help = Some(help.into());
        self
    }
}

/// Why there is no plan.
#[derive(Debug)]
pub enum PlanFailure {
    /// The playbook does not compile for these inputs.
    Playbook(Diagnostics),
    /// The site is not as an upgrade needs it.
    Refused(Vec<Refusal>),
}

impl From<Refusal> for PlanFailure {
    fn from(refusal: Refusal) -> PlanFailure {
        PlanFailure::Refused(vec![refusal])
    }
}

/// What planning came to.
#[derive(Debug)]
pub enum Planned {
    /// The wanted release is installed.
    Nothing(Installed),
    /// A plan.
    Plan(Box<Plan>),
}

/// What planning needs.
pub struct PlanRequest<'a> {
    /// The playbook.
    pub playbook: &'a LoadedPlaybook,
    /// Its inputs.
    pub inputs: &'a BTreeMap<String, InputValue>,
    /// The wanted release; the newest that the playbook leads to, if `None`.
    pub wanted: Option<Version>,
    /// Every step kind.
    pub registry: &'a Registry,
    /// Steps that the planner puts in by itself.
    pub own_steps: &'a OwnSteps,
    /// Where runs and backups will lie.
    pub state_dir: &'a Path,
    /// Durations measured by rehearsals.
    pub timings: &'a Timings,
    /// Version of the engine.
    pub engine: &'a str,
    /// Now, RFC 3339 in UTC.
    pub now: &'a str,
}

/// The steps that the planner puts into every plan that needs them.
pub struct OwnSteps {
    /// Backs a target up.
    pub backup: fn(target: &str) -> Box<dyn AnyStep>,
    /// Tries out whether a backup of the running target can be made and restored.
    pub trial: fn(target: &str) -> Box<dyn AnyStep>,
    /// Looks that nobody has made a target that the upgrade makes.
    pub vacant: fn(target: &str) -> Box<dyn AnyStep>,
    /// Takes the fingerprint of a target, for a proof that it did not change.
    pub fingerprint: fn(target: &str) -> Box<dyn AnyStep>,
    /// Takes our rows out of a database and puts its settings back.
    pub sweep: fn(target: &str) -> Box<dyn AnyStep>,
    /// The proofs that steps of a plan need, whatever the playbook proves by itself.
    pub proofs: Proofs,
}

/// Returns the proofs that these steps need.
pub type Proofs = fn(steps: &[&dyn AnyStep]) -> Vec<Box<dyn AnyStep>>;

/// Opens a site for its targets.
pub type OpenSite<'a> = &'a dyn Fn(&BTreeMap<String, TargetDef>) -> Result<Site, SiteError>;

/// Compiles the targets and opens the site.
pub fn open_site(request: &PlanRequest<'_>, open: OpenSite<'_>) -> Result<Site, PlanFailure> {
    let cx = request.playbook.compile_targets(request.inputs);
    if cx.out.has_errors() {
        return Err(PlanFailure::Playbook(cx.out));
    }
    open(&cx.targets).map_err(|error| PlanFailure::from(site_refusal(&error)))
}

/// Finds the installed release.
pub fn detect_installed(
    request: &PlanRequest<'_>,
    site: &Site,
    tell: &Tell,
) -> Result<Installed, PlanFailure> {
    let mut cx = request.playbook.compile_targets(request.inputs);
    let mut questions = Vec::new();
    for evidence in &request.playbook.playbook.version.detect {
        questions.extend(detect::compile(evidence, &mut cx));
    }
    if cx.out.has_errors() {
        return Err(PlanFailure::Playbook(cx.out));
    }
    detect::detect(&questions, site, tell).map_err(|unknown| {
        PlanFailure::from(Refusal {
            details: unknown.evidence,
            ..Refusal::new("D001", format!("cannot tell the installed release: {}", unknown.message))
                .help(unknown.help)
        })
    })
}

/// Makes a plan, or says everything that stands in its way.
pub fn plan(request: &PlanRequest<'_>, site: &Site, tell: &Tell) -> Result<Planned, PlanFailure> {
    refuse_open_run(site)?;
    if let Some((one, other)) = site.twins() {
        return Err(Refusal::new("D011", format!("the targets {one} and {other} are one and the same file"))
            .help("name the file of each in the site file")
            .into());
    }
    if let Some((one, other, schema)) = site.shared_schema(tell) {
        return Err(Refusal::new(
            "D011",
            format!("the targets {one} and {other} share schema `{schema}` of one database"),
        )
        .help("give each a schema or a database of its own in the site file")
        .into());
    }
    let secrets = secrets(request).map_err(PlanFailure::Refused)?;
    let _held = site.hold_open();
    let installed = detect_installed(request, site, tell)?;
    let playbook = &request.playbook.playbook;
    let path = path::find(playbook, &installed.version, request.wanted.as_ref())
        .map_err(|error| Refusal::new("D003", format!("cannot {error}")).help(error.help()))?;
    if path.edges.is_empty() {
        return Ok(Planned::Nothing(installed));
    }
    let stretches = path::stretches(playbook, &path);
    let first = stretches.first().map_or(0, |stretch| stretch.hops.len());
    let upgrades: Vec<&Upgrade> = path.edges[..first].iter().map(|edge| &playbook.upgrades[*edge]).collect();

    let mut cx = request.playbook.compile_targets(request.inputs);
    let Drafted { drafts, lists, refusals: unlisted } = draft(request, &upgrades, site, &mut cx, tell)?;
    let (losses, mut refusals) = losses(request, site, &mut cx, tell);
    refusals.extend(unlisted);
    let mut risks = risks(request, site, &mut cx, tell)?;
    if cx.out.has_errors() {
        return Err(PlanFailure::Playbook(cx.out));
    }
    let targets = site.resolved_targets(tell).map_err(|error| PlanFailure::from(site_refusal(&error)))?;
    let Covered { drafts, refusals: uncovered, bare } = cover::cover(drafts, &targets, request.own_steps);
    refusals.extend(uncovered);
    risks.extend(bare.into_iter().map(|target| PlannedRisk {
        id: "no-backup".to_owned(),
        says: format!("{target} is changed without a backup: what goes wrong there stays wrong"),
    }));

    let mut overlay = Overlay::new(site);
    let mut previews = Vec::new();
    for draft in &drafts {
        match draft.step.preview(&mut overlay) {
            Ok(preview) => previews.push(preview),
            Err(error) => {
                refusals.push(step_refusal(draft, error));
                previews.push(Preview::default());
            }
        }
    }
    let Needs { disk, unseen: disk_unseen, unknown } =
        disk::needs(&drafts, &previews, site, request.state_dir);
    refusals.extend(unknown);
    refusals.extend(rights(&drafts, site, tell));
    refusals.extend(disk.iter().filter(|need| need.needed > need.free).map(disk::refusal));
    let facts = match facts::observe(
        site,
        &targets,
        &request.playbook.digest,
        &installed.version.to_string(),
        tell,
    ) {
        Ok(facts) => facts.into_iter().chain(lists).chain(secrets).collect(),
        Err(error) => {
            refusals.push(site_refusal(&error));
            Vec::new()
        }
    };
    if !refusals.is_empty() {
        return Err(PlanFailure::Refused(dedup(refusals)));
    }
    let steps = number(drafts, previews, request, &targets);
    let plan = Plan {
        format: PLAN_FORMAT,
        digest: Digest::of(b""),
        engine: request.engine.to_owned(),
        made_at: request.now.to_owned(),
        playbook: PlaybookRef { name: playbook.playbook.value.clone(), digest: request.playbook.digest },
        installed: installed.version.to_string(),
        evidence: installed.evidence,
        wanted: path.wanted.to_string(),
        stretches,
        targets,
        steps,
        facts,
        losses,
        risks,
        notes: upgrades.iter().flat_map(|upgrade| upgrade.notes.clone()).collect(),
        disk,
        disk_unseen,
    };
    Ok(Planned::Plan(Box::new(plan.seal())))
}

/// The secrets that the site gives, as facts; or everything that is wrong with them.
fn secrets(request: &PlanRequest<'_>) -> Result<Vec<Fact>, Vec<Refusal>> {
    let given = request.inputs.iter().filter(|(_, input)| input.kind == InputType::Secret);
    let given: Vec<SecretRef> = given
        .filter_map(|(name, input)| {
            let lies = serde_json::from_value(input.value.clone()?).ok()?;
            Some(SecretRef { secret: name.clone(), lies })
        })
        .collect();
    if given.is_empty() {
        return Ok(Vec::new());
    }
    let salt = StateDir::at(request.state_dir).salt().map_err(|error| {
        vec![Refusal::new("D017", format!("cannot keep the salt of digests in the state folder: {error}"))]
    })?;
    let (mut found, mut refusals) = (Vec::new(), Vec::new());
    for secret in &given {
        match facts::of_secrets([secret], &salt) {
            Ok(facts) => found.extend(facts),
            Err(error) => refusals.push(
                Refusal::new("D017", format!("cannot {error}"))
                    .help("set it where this command runs; `resume` needs it there as well"),
            ),
        }
    }
    if refusals.is_empty() { Ok(found) } else { Err(refusals) }
}

/// What will be written, and may not be: found here, and not in the downtime.
fn rights(drafts: &[Draft], site: &Site, tell: &Tell) -> Vec<Refusal> {
    let touches = drafts.iter().flat_map(|draft| draft.step.touches());
    let written: BTreeSet<String> = touches
        .filter(|touch| matches!(touch.access, Access::Writes | Access::BacksUp))
        .map(|touch| touch.target)
        .collect();
    let refused = |(path, error): (std::path::PathBuf, std::io::Error)| {
        Refusal::new("D011", format!("cannot write {}: {error}", path.display()))
            .help("run as its owner or as root, or give this user the right to write there")
    };
    let mut refusals: Vec<Refusal> =
        written.iter().flat_map(|target| site.not_writable(target)).map(refused).collect();
    for target in &written {
        match site.lacks_rights(target, tell) {
            Ok(lacks) => refusals.extend(lacks.into_iter().map(|what| {
                Refusal::new("D011", format!("cannot change {target}: {what}"))
                    .help("give the user these rights, or name another user in the address")
            })),
            Err(error) => refusals.push(site_refusal(&error)),
        }
    }
    refusals
}

/// A run that is open on the site has to be ended first, wherever its directory lies.
fn refuse_open_run(site: &Site) -> Result<(), PlanFailure> {
    let wrong = |error: SiteError| PlanFailure::from(site_refusal(&error));
    let marks = site.open_runs().map_err(wrong)?;
    let rows = site.rows_of_runs().map_err(wrong)?;
    let marked =
        marks.into_iter().find(|mark| !state_dir::is_over(mark)).map(|mark| (mark.run, mark.state_dir));
    let inside = rows.into_iter().next().map(|row| {
        let state_dir =
            Path::new(&row.state_dir).ancestors().nth(2).unwrap_or(Path::new(&row.state_dir)).to_owned();
        (row.run, state_dir)
    });
    let Some((run, state_dir)) = marked.or(inside) else { return Ok(()) };
    let (state, directory) = (state_dir.display(), StateDir::at(&state_dir).run(&run));
    let help = if directory.root().exists() {
        format!(
            "its directory is in {state}; take it up there with `switchback resume` or `switchback rollback` and `--state {state}`"
        )
    } else {
        format!(
            "its directory {} is gone: bring it back, it holds the journal and the backup, then `switchback rollback --state {state}`",
            directory.root().display()
        )
    };
    Err(Refusal::new("D002", format!("a run is open on this site: {run}")).help(help).into())
}

fn losses(
    request: &PlanRequest<'_>,
    site: &Site,
    cx: &mut Compile<'_>,
    tell: &Tell,
) -> (Vec<PlannedLoss>, Vec<Refusal>) {
    let (mut losses, mut refusals) = (Vec::new(), Vec::new());
    for loss in &request.playbook.playbook.losses {
        let id = loss.id.value.clone();
        let Some(probe) = loss.rows.as_ref().and_then(|rows| cx.probe(rows)) else {
            losses.push(PlannedLoss {
                id,
                says: loss.says.clone(),
                rows: None,
                more: 0,
                digest: None,
                unmeasured: loss.unmeasured.clone(),
            });
            continue;
        };
        match site.ask(&probe.ask, tell) {
            Ok(answer) => {
                let (rows, more) = answer.page();
                losses.push(PlannedLoss {
                    id,
                    says: loss.says.clone(),
                    rows: Some(rows),
                    more,
                    digest: Some(answer.digest()),
                    unmeasured: None,
                });
            }
            Err(error) => {
                let mut refusal = Refusal::new("D005", format!("cannot measure the loss `{id}`: {error}"))
                    .help("mend what the other refusals name, or what this query cannot read");
                refusal.place = Some(place(request.playbook, loss.id.span.start));
                refusals.push(refusal);
            }
        }
    }
    (losses, refusals)
}

/// The dangers that are there on this site.
fn risks(
    request: &PlanRequest<'_>,
    site: &Site,
    cx: &mut Compile<'_>,
    tell: &Tell,
) -> Result<Vec<PlannedRisk>, PlanFailure> {
    let mut risks = Vec::new();
    for risk in &request.playbook.playbook.risks {
        if wanted(risk.when.as_ref(), site, cx, tell)? {
            risks.push(PlannedRisk { id: risk.id.value.clone(), says: risk.says.clone() });
        }
    }
    Ok(risks)
}

fn step_refusal(draft: &Draft, error: StepError) -> Refusal {
    let place = draft.place.clone();
    match error {
        StepError::Failed(trouble) | StepError::Conflict(trouble) => Refusal {
            message: trouble.headline(),
            code: trouble.code,
            details: trouble.details,
            help: trouble.help,
            place,
        },
        StepError::Cut | StepError::Interrupted => {
            Refusal { place, ..Refusal::new("D006", "planning was interrupted") }
        }
    }
}

/// Words a site's error as a refusal.
pub fn site_refusal(error: &SiteError) -> Refusal {
    Refusal::new("D007", format!("cannot {}", chain(error)))
}

fn dedup(refusals: Vec<Refusal>) -> Vec<Refusal> {
    let mut unique: Vec<Refusal> = Vec::new();
    for refusal in refusals {
        if !unique.iter().any(|one| one.message == refusal.message && one.details == refusal.details) {
            unique.push(refusal);
        }
    }
    unique
}

fn number(
    drafts: Vec<Draft>,
    previews: Vec<Preview>,
    request: &PlanRequest<'_>,
    targets: &BTreeMap<String, TargetDef>,
) -> Vec<PlannedStep> {
    let mut taken = BTreeSet::new();
    let mut steps = Vec::new();
    for (draft, preview) in drafts.into_iter().zip(previews) {
        let plain = draft.id.unwrap_or_else(|| format!("{}-{}", draft.step.kind(), draft.step.subject()));
        let wished = draft.suffix.map_or(plain.clone(), |suffix| format!("{plain}-{suffix}"));
        let mut id = wished.clone();
        let mut n = 1;
        while !taken.insert(id.clone()) {
            n += 1;
            id = format!("{wished}-{n}");
        }
        let estimate = match request.timings.of(&id) {
            Some(ms) => Estimate { ms, origin: Origin::Rehearsed },
            None => Estimate { ms: preview.guess_ms, origin: Origin::Guessed },
        };
        steps.push(PlannedStep {
            id,
            phase: draft.phase,
            kind: draft.step.kind().to_owned(),
            body: draft.step.body(),
            says: draft.says.unwrap_or_else(|| draft.step.describe()),
            why: draft.why,
            place: draft.place,
            reversal: cover::reversal(draft.step.as_ref(), targets, request.own_steps),
            touches: draft.step.touches(),
            switches: draft.step.switches(),
            only_live: draft.only_live,
            preview: preview.lines,
            estimate,
        });
    }
    steps
}
