//! `run`: runs a command, and believes a probe rather than its exit code.

use crate::database::{count_again, guard, is_counted, stop_counting};
use crate::secrets::revealed;
use crate::trial::remove;
use crate::written::{self, Kept};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use switchback_engine::registry::Compiled;
use switchback_engine::run_dir::write_durably;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_model::compile::Compile;
use switchback_model::decode::{Duration as Time, Keyed, Spanned};
use switchback_model::diagnostic::Diagnostic;
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::playbook::ProbeBody;
use switchback_model::probe::Probe;
use switchback_model::secret::{MASK, Sealed};
use switchback_model::target::{POSTGRES, SQLITE, TargetDef};
use switchback_model::text::Template;
use switchback_model::{choice, record};
use switchback_site::command::{Command, Exit, Ran};
use switchback_site::file::refuse_unchangeable;
use switchback_site::{Site, secret};

/// How long a command may take unless the playbook says otherwise.
const PATIENCE_MS: u64 = 3_600_000;
/// How many lines of a command's output an error shows.
const SHOWN: usize = 20;

record! {
    /// Runs a command. There is no shell; each `${…}` is one argument.
    pub struct RunBody {
        /// The program and its arguments.
        pub argv: Vec<Template>,
        /// Where it runs.
        pub cwd: Option<Template>,
        /// Variables added to its environment.
        pub env: Option<Keyed<Template>>,
        /// Holds when the command has had its effect: its exit code proves nothing.
        pub done_when: Option<ProbeBody>,
        /// The targets that it changes.
        pub writes: Vec<Spanned<String>>,
        /// A command that takes the effect back.
        pub undo: Option<Vec<Template>>,
        /// How long it may take.
        pub within: Option<Time>,
        /// For a command that changes nothing but what it `writes`: it is run in a rehearsal too, with these variables on top,
        /// each a part of the address of a copy.
        pub rehearsal_env: Option<Keyed<PartOf>>,
    }
}

record! {
    /// A part of the address of a target, which in a rehearsal is a copy.
    pub struct PartOf {
        /// The target: a database or a file.
        pub of: Spanned<String>,
        /// Which part.
        pub part: AddressPart,
    }
}

choice! {
    /// A part of the address of a target.
    pub enum AddressPart {
        /// The name of a PostgreSQL database.
        Database = "database",
        /// The path of a file or of a SQLite database.
        Path = "path",
    }
}

/// The kind.
pub struct RunKind;

impl Kind for RunKind {
    type Body = RunBody;
    const NAME: &'static str = "run";
    const SAYS: &'static str = "runs a command, and believes a probe rather than its exit code";

    fn compile(body: RunBody, cx: &mut Compile<'_>) -> Compiled {
        let Some(done_when) = &body.done_when else {
            let span = body.argv.first().map(Template::span).unwrap_or_default();
            cx.out.push(
                Diagnostic::error("P022", "a command without a probe cannot be believed")
                    .at(span, "an exit code of 0 proves nothing")
                    .help("add `done_when:` with a probe that holds once the command has had its effect"),
            );
            return None;
        };
        let all = |list: &[Template], cx: &mut Compile<'_>| -> Option<Vec<String>> {
            list.iter().map(|arg| cx.text(arg)).collect()
        };
        let argv = all(&body.argv, cx)?;
        let undo = match &body.undo {
            Some(undo) => Some(all(undo, cx)?),
            None => None,
        };
        let cwd = match &body.cwd {
            Some(cwd) => Some(cx.text(cwd)?),
            None => None,
        };
        let mut env = BTreeMap::new();
        for (key, value) in body.env.iter().flat_map(Keyed::iter) {
            env.insert(key.text.clone(), cx.sealed(value)?);
        }
        let (mut writes, mut files) = (Vec::new(), Vec::new());
        for name in &body.writes {
            let target = cx.target_name(&name.value, name.span, &[SQLITE, POSTGRES, "file"])?;
            match cx.targets.get(&target) {
                Some(TargetDef::File { .. }) => files.push(target),
                _ => writes.push(target),
            }
        }
        let within_ms =
            body.within.map_or(PATIENCE_MS, |time| u64::try_from(time.get().as_millis()).unwrap_or(u64::MAX));
        let done_when = cx.probe(done_when)?;
        let rehearsal_env = match &body.rehearsal_env {
            Some(parts) => Some(parts_of_copies(parts, cx)?),
            None => None,
        };
        Some(vec![Box::new(Run { argv, cwd, env, done_when, writes, files, undo, within_ms, rehearsal_env })])
    }
}

/// Checks that each target has the part that is asked for.
fn parts_of_copies(parts: &Keyed<PartOf>, cx: &mut Compile<'_>) -> Option<BTreeMap<String, PartOf>> {
    let checked = parts.iter().map(|(key, part)| {
        let kinds = match part.part {
            AddressPart::Database => &[POSTGRES][..],
            AddressPart::Path => &[SQLITE, "file"],
        };
        cx.target_name(&part.of.value, part.of.span, kinds)?;
        Some((key.text.clone(), part.clone()))
    });
    // All of them, so that everything that is wrong is said at once.
    checked.collect::<Vec<_>>().into_iter().collect()
}

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Variables added to its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Sealed>,
    /// Holds when it has had its effect.
    pub done_when: Probe,
    /// The databases that it changes: the backup before it is their way back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<String>,
    /// The files that it changes: without an `undo` they are kept before it, and put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// A command that takes the effect back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Vec<String>>,
    /// How long it may take, in milliseconds.
    pub within_ms: u64,
    /// Variables of a rehearsal, in which it is run only where there are such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal_env: Option<BTreeMap<String, PartOf>>,
}

impl Run {
    fn holds(&self, site: &Site, work: &Work<'_>) -> Result<bool, StepError> {
        Ok(crate::check::look(&self.done_when, site, work.tell)?.is_some())
    }

    /// The note that the command was started.
    fn begun(work: &Work<'_>) -> PathBuf {
        work.dir.keep().join(format!("{}.begun", work.step))
    }

    /// The databases that it changes, whose commits are counted.
    fn databases<'a>(&'a self, site: &'a Site) -> impl Iterator<Item = &'a String> {
        let is_database =
            |target: &&String| site.targets().get(target.as_str()).is_some_and(TargetDef::is_database);
        self.writes.iter().filter(is_database)
    }

    /// The files that are kept; a command that takes the effect back takes it back from them as well.
    fn kept_files(&self) -> &[String] {
        if self.undo.is_some() { &[] } else { &self.files }
    }

    /// Whether it is known what the command left in the files, should it have been at them.
    fn is_noted(&self, work: &Work<'_>) -> bool {
        self.kept_files().is_empty() || !Run::begun(work).exists() || written::is_noted(work)
    }

    fn is_counted(&self, site: &Site, work: &Work<'_>) -> Result<bool, StepError> {
        for target in self.databases(site) {
            if !is_counted(site, target, work)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn execute(&self, argv: &[String], site: &Site, work: &Work<'_>) -> Result<Ran, StepError> {
        let mut env = BTreeMap::new();
        for (key, sealed) in &self.env {
            env.insert(key.clone(), revealed(sealed)?);
        }
        for (key, PartOf { of, part }) in self.rehearsal_env.iter().flatten().filter(|_| site.is_rehearsal())
        {
            let copy = match part {
                AddressPart::Database => site.postgres(&of.value)?.address().dbname.clone(),
                AddressPart::Path => {
                    site.targets().get(&of.value).and_then(TargetDef::path).unwrap_or_default().to_owned()
                }
            };
            env.insert(key.clone(), copy);
        }
        let command = Command {
            argv: argv.to_vec(),
            cwd: self.cwd.as_ref().map(PathBuf::from),
            env,
            timeout: Some(Duration::from_millis(self.within_ms)),
            inherit: site.locks().map_err(|e| StepError::failed(format!("hand the run's locks on: {e}")))?,
            ..Command::default()
        };
        work.tell.point("run.start")?;
        let ran = switchback_site::command::run(&command, site.logs(), work.step, work.tell)?;
        work.tell.point("run.ended")?;
        Ok(ran)
    }

    fn failed(&self, ran: &Ran, argv: &[String]) -> StepError {
        let mut output = String::from_utf8_lossy(&ran.stderr.tail).into_owned()
            + &String::from_utf8_lossy(&ran.stdout.tail);
        // What a command was given it may have printed.
        for secret in self.env.values().flat_map(Sealed::secrets) {
            if let Ok(secret) = secret::read(secret) {
                output = output.replace(secret.reveal(), MASK);
            }
        }
        let lines: Vec<String> = output.lines().map(str::to_owned).collect();
        let last = lines.len().saturating_sub(SHOWN);
        StepError::failed(format!("run `{}`: it ended with {}", argv.join(" "), ran.exit))
            .details(lines[last..].to_vec())
            .help(format!("its whole output is in {}", ran.stderr.file.display()))
    }
}

impl Step for Run {
    const KIND: &'static str = "run";
    type Before = Kept;

    fn describe(&self) -> String {
        format!("run `{}`", self.argv.join(" "))
    }

    fn subject(&self) -> String {
        self.argv
            .first()
            .map_or("command", |program| program.rsplit('/').next().unwrap_or("command"))
            .to_owned()
    }

    fn touches(&self) -> Vec<Touch> {
        self.writes.iter().chain(&self.files).map(|target| Touch::new(target, Access::Writes)).collect()
    }

    fn reversal(&self) -> Reversal {
        match (&self.undo, self.writes.is_empty(), self.files.is_empty()) {
            (Some(_), _, _) | (None, true, false) => Reversal::ByUndo,
            (None, false, _) => Reversal::ByRestore,
            (None, true, true) => Reversal::Never,
        }
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        if let Some(program) = self.argv.first()
            && !switchback_site::command::exists(program)
        {
            return Err(StepError::failed(format!("find the program `{program}`"))
                .help("install it, or name it by its whole path"));
        }
        crate::services::may_install(world);
        let mut keeps = 0;
        for target in self.kept_files() {
            // What could not be put back is found here, and not on the way back.
            refuse_unchangeable(&world.site.file(target)?)?;
            keeps += world.site.size(target)?.unwrap_or(0);
        }
        for target in self.writes.iter().chain(&self.files) {
            world.lose_sight(target, format!("`{}` will have been at it", self.argv.join(" ")));
        }
        Ok(Preview { keeps, ..Preview::of(["what it changes is known only in a rehearsal"], 1000) })
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        Ok(match (self.holds(site, work)?, self.is_counted(site, work)? && self.is_noted(work)) {
            (true, true) => Condition::applied(),
            (true, false) => Condition::Partial,
            (false, _) => Condition::Pending,
        })
    }

    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<Kept, StepError> {
        self.databases(site).try_for_each(|target| guard(site, target, work))?;
        Kept::of(self.kept_files(), site, work)
    }

    fn apply(&self, site: &Site, before: &Kept, work: &Work<'_>) -> Result<Value, StepError> {
        if self.check(site, work)?.is_applied() {
            return Ok(Value::Null);
        }
        let begun = Run::begun(work);
        before.refuse_foreign(begun.exists(), site, work)?;
        let mut exit = None;
        if !self.holds(site, work)? {
            self.databases(site).try_for_each(|target| stop_counting(site, target, work))?;
            write_durably(&begun, b"")
                .map_err(|e| StepError::failed(format!("write {}: {e}", begun.display())))?;
            written::forget(work)?;
            let ran = self.execute(&self.argv, site, work)?;
            // Also when it failed: it has ended, and what it left is known from here on.
            before.note_left(site, work)?;
            // The probe decides. A bad end with the effect in place is worth a word and no more.
            if ran.exit != Exit::Code(0) && !self.holds(site, work)? {
                return Err(self.failed(&ran, &self.argv));
            }
            exit = Some(ran.exit.to_string());
        } else if !self.is_noted(work) {
            before.note_left(site, work)?;
        }
        // The command is done: whoever writes from here on is somebody else.
        self.databases(site).try_for_each(|target| count_again(site, target, work))?;
        Ok(json!({ "exit": exit }))
    }

    /// The probe holds when all of the effect is there, so a half of it is known only by the note that it was begun.
    fn undo(&self, site: &Site, before: &Kept, work: &Work<'_>) -> Result<(), StepError> {
        let begun = Run::begun(work);
        let Some(undo) = &self.undo else {
            self.databases(site).try_for_each(|target| guard(site, target, work))?;
            before.refuse_foreign(begun.exists(), site, work)?;
            return before.put_back(site, work);
        };
        if !begun.exists() && !self.holds(site, work)? {
            return Ok(());
        }
        let ran = self.execute(undo, site, work)?;
        if self.holds(site, work)? {
            return Err(self.failed(&ran, undo));
        }
        remove(&begun)
    }

    fn not_rehearsed(&self, _site: &Site) -> Option<String> {
        if self.rehearsal_env.is_some() {
            return None;
        }
        Some(format!("`{}` would act on the real site", self.argv.join(" ")))
    }
}
