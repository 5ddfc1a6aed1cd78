//! What `start`, `stop` and `restart` share: who runs, who answers, and who is in the stores.

use std::time::{Duration, Instant};
use switchback_engine::{Overlay, StepError, Work};
use switchback_model::probe::Probe;
use switchback_model::target::TargetDef;
use switchback_site::command::exists;
use switchback_site::service::{ServiceSpec, State, Which};
use switchback_site::sqlite::holders;
use switchback_site::{Site, Tell, Unit};

/// The aspect of no target under which a step leaves that programs may come and go from there on.
const PROGRAMS: &str = "programs";

/// Says in the overlay that a program that is missing now may be there later.
pub(crate) fn may_install(world: &mut Overlay<'_>) {
    world.leave("", PROGRAMS, serde_json::Value::Bool(true));
}

/// Looks whether the programs that stop and start a service are there: a slip in a path has to fail before the freeze.
pub(crate) fn programs_are_there(name: &str, words: &[&str], world: &Overlay<'_>) -> Result<(), StepError> {
    let Some(TargetDef::Service { spec, .. }) = world.site.targets().get(name) else { return Ok(()) };
    let Ok(spec) = serde_json::from_value::<ServiceSpec>(spec.clone()) else { return Ok(()) };
    for (word, argv) in spec.command_lines() {
        let program = argv.first().map_or("", String::as_str);
        // A relative path is taken from the folder that the program runs in.
        let elsewhere = program.contains('/') && !program.starts_with('/');
        let later = elsewhere || world.left("", PROGRAMS).is_some();
        if words.contains(&word) && (program.is_empty() || !(later || exists(program))) {
            let what =
                if program.is_empty() { "a program".to_owned() } else { format!("the program `{program}`") };
            return Err(StepError::failed(format!("find {what} for `{word}:` of service {name}"))
                .help(format!("name it in the site file, where it says how {name} is stopped and started")));
        }
    }
    Ok(())
}

/// How long a service has to answer as itself after a start, unless the playbook says otherwise.
pub(crate) const READY_MS: u64 = 120_000;
/// How long a service may be seen stopped before that is believed: some fork and let the first process go.
const GONE: Duration = Duration::from_secs(2);
/// How long a service is watched that has no probe.
const STAYS: Duration = Duration::from_millis(400);
/// How long a person is given to do what a step asks: a night.
pub(crate) const PERSON_MS: u64 = 12 * 3_600_000;
const PAUSE: Duration = Duration::from_millis(100);

/// A service with what the playbook knows of it.
pub(crate) struct Known<'a> {
    pub name: &'a str,
    site: &'a Site,
    stores: &'a [String],
    old: Option<&'a Probe>,
    new: Option<&'a Probe>,
}

impl<'a> Known<'a> {
    pub fn of(site: &'a Site, name: &'a str) -> Result<Known<'a>, StepError> {
        match site.targets().get(name) {
            Some(TargetDef::Service { stores, old, new, .. }) => {
                Ok(Known { name, site, stores, old: old.as_ref(), new: new.as_ref() })
            }
            _ => Err(StepError::failed(format!("find service `{name}`"))),
        }
    }

    pub fn probe(&self, which: Which) -> Option<&'a Probe> {
        match which {
            Which::Old => self.old,
            Which::New => self.new,
        }
    }

    pub fn state(&self) -> Result<State, StepError> {
        Ok(self.site.service(self.name)?.state()?)
    }

    /// Whether this release answers as itself; `None` when the playbook has no probe for it. A stop that was asked for
    /// meanwhile is no answer.
    pub fn answers(&self, which: Which, tell: &Tell) -> Result<Option<bool>, StepError> {
        let Some(probe) = self.probe(which) else { return Ok(None) };
        Ok(Some(crate::check::look(probe, self.site, tell)?.is_some()))
    }

    /// Which release runs, as far as the service itself or a probe can tell.
    pub fn release(&self, tell: &Tell) -> Result<Option<Which>, StepError> {
        Ok(match self.state()? {
            State::Stopped => None,
            State::Running(Some(which)) => Some(which),
            State::Running(None) | State::Unknown(_) => {
                let mut found = None;
                for which in [Which::New, Which::Old] {
                    if found.is_none() && self.answers(which, tell)? == Some(true) {
                        found = Some(which);
                    }
                }
                found
            }
        })
    }

    /// Refuses when a release runs that neither ran before nor was started by this run.
    pub fn refuse_foreign(&self, foreign: Which, work: &Work<'_>) -> Result<(), StepError> {
        if work.losing_writes || self.release(work.tell)? != Some(foreign) {
            return Ok(());
        }
        Err(StepError::conflict(format!("{} runs in its {foreign} release: somebody started it", self.name))
            .help("find out who started it, and what it has written; stop it, and try again"))
    }

    /// The databases that it keeps its data in.
    pub fn databases(&self) -> impl Iterator<Item = &'a String> {
        let is_database =
            |store: &&String| self.site.targets().get(store.as_str()).is_some_and(TargetDef::is_database);
        self.stores.iter().filter(is_database)
    }

    /// Whether another service that keeps its data there as well runs. Who is in such a store, and who writes there, says
    /// nothing of this one: that is proven when the last of them is stopped.
    pub fn is_shared(&self, store: &str) -> Result<bool, StepError> {
        for (name, def) in self.site.targets() {
            let TargetDef::Service { stores, .. } = def else { continue };
            // A real one that a rehearsal leaves alone is not at the copies.
            let apart = self.site.privates().is_some_and(|privates| !privates.specs.contains_key(name));
            if name != self.name
                && !apart
                && stores.iter().any(|one| one == store)
                && Known::of(self.site, name)?.runs()?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether it runs, as far as the service itself or a probe can tell.
    fn runs(&self) -> Result<bool, StepError> {
        Ok(match self.state()? {
            State::Running(_) => true,
            State::Stopped => false,
            State::Unknown(_) => self.release(&Tell::quiet())?.is_some(),
        })
    }

    /// Those of them that are files of this machine. Who is in a server's database the server would say, but not which of
    /// its sessions are this service's.
    fn files(&self) -> impl Iterator<Item = &'a String> {
        self.databases().filter(|store| !self.site.is_postgres(store))
    }

    /// Whoever has a database of its stores open, a line each, where no other service that runs keeps its data there too.
    /// A file says nothing: it is read and closed again.
    pub fn in_the_stores(&self) -> Result<Vec<String>, StepError> {
        let mut lines = Vec::new();
        for store in self.files() {
            let path = self.site.database(store)?.real_path()?;
            let seen = holders(&path).others().seen;
            if seen.is_empty() || self.is_shared(store)? {
                continue;
            }
            for holder in seen {
                lines.push(format!("process {} has {store} open: {}", holder.pid, holder.command));
            }
        }
        Ok(lines)
    }

    /// Why nothing can show that it is stopped, if nothing can: no probe answers for it, and whoever is in its stores
    /// cannot be seen.
    pub fn cannot_tell(&self) -> Result<Option<String>, StepError> {
        if self.old.is_some() || self.new.is_some() || !matches!(self.state()?, State::Unknown(_)) {
            return Ok(None);
        }
        let mut hidden = 0;
        for store in self.files() {
            hidden = hidden.max(holders(&self.site.database(store)?.real_path()?).hidden);
        }
        Ok(match (self.files().next().is_none(), hidden) {
            (true, _) => Some("it has neither a probe nor a database to look at".to_owned()),
            (false, 0) => None,
            (false, hidden) => {
                let processes = if hidden == 1 { "process" } else { "processes" };
                Some(format!(
                    "it has no probe, and {hidden} {processes} of other users cannot be looked into"
                ))
            }
        })
    }

    /// Whether a person stops and starts it.
    pub fn is_by_hand(&self) -> bool {
        let Some(TargetDef::Service { spec, .. }) = self.site.targets().get(self.name) else { return false };
        matches!(serde_json::from_value(spec.clone()), Ok(ServiceSpec::None))
    }

    /// Whether it is stopped for certain: nothing of it runs, nothing answers, nobody is in its stores.
    pub fn is_stopped(&self, tell: &Tell) -> Result<bool, StepError> {
        Ok(match self.state()? {
            State::Running(_) => false,
            State::Stopped => self.in_the_stores()?.is_empty(),
            State::Unknown(_) => {
                self.cannot_tell()?.is_none()
                    && self.in_the_stores()?.is_empty()
                    && self.answers(Which::Old, tell)? != Some(true)
                    && self.answers(Which::New, tell)? != Some(true)
            }
        })
    }

    /// Watches for a moment whether a service stays that no probe can ask: one that does not like its config ends at once.
    fn watch(&self, which: Which, tell: &Tell) -> Result<(), StepError> {
        if !matches!(self.state()?, State::Running(Some(_)) | State::Stopped) {
            return Ok(());
        }
        let (clock, mut gone) = (Instant::now(), None::<Instant>);
        poll("watching whether it stays", READY_MS, tell, &mut || match self.state()? {
            State::Stopped if gone.get_or_insert_with(Instant::now).elapsed() >= GONE => {
                Err(self.ended(which))
            }
            State::Stopped => Ok(false),
            _ => {
                gone = None;
                Ok(clock.elapsed() >= STAYS)
            }
        })
        .map(drop)
    }

    fn ended(&self, which: Which) -> StepError {
        StepError::failed(format!("start {}: the {which} release ended by itself", self.name))
            .help(format!("{} has what it said", self.site.logs().display()))
    }

    /// Waits until this release answers as itself: for as long as its probe says (`within`), else for `patience_ms`.
    /// A service that has ended meanwhile will not answer any more, so that is an end as well.
    pub fn wait_ready(&self, which: Which, patience_ms: u64, tell: &Tell) -> Result<(), StepError> {
        let Some(probe) = self.probe(which) else { return self.watch(which, tell) };
        let patience_ms = if probe.within_ms > 0 { probe.within_ms } else { patience_ms };
        let (mut gone, mut last) = (None::<Instant>, None);
        let doing = format!("waiting until {}", probe.describe());
        poll(&doing, patience_ms, tell, &mut || {
            let judged = self.site.judge_once(probe, tell);
            let ready = matches!(&judged, Ok(judgement) if judgement.holds);
            last = Some(judged);
            match self.state()? {
                _ if ready => Ok(true),
                State::Stopped if gone.get_or_insert_with(Instant::now).elapsed() >= GONE => {
                    Err(self.ended(which))
                }
                State::Stopped => Ok(false),
                _ => {
                    gone = None;
                    Ok(false)
                }
            }
        })?;
        let Some(judged) = last else { return Ok(()) };
        crate::check::verdict(probe, judged).map(drop).map_err(|error| match error {
            StepError::Failed(mut trouble) => {
                trouble.details.insert(0, trouble.headline());
                StepError::failed(format!(
                    "start {}: its {which} release does not answer as itself",
                    self.name
                ))
                .details(trouble.details)
                .help(trouble.help.unwrap_or_else(|| {
                    "look into what it printed, under `logs/` in the directory of the run".to_owned()
                }))
            }
            other => other,
        })
    }

    /// Waits until what a person was asked for is done. A person who does not come is no proof of anything.
    pub fn wait_for_person(
        &self,
        instruction: &str,
        patience_ms: u64,
        tell: &Tell,
        done: impl FnMut() -> Result<bool, StepError>,
    ) -> Result<(), StepError> {
        if self.poll(instruction, patience_ms, tell, done)? {
            return Ok(());
        }
        let mut details = self.in_the_stores()?;
        details.extend(self.cannot_tell()?);
        let said = format!("wait any longer for somebody to {instruction}: nothing shows that it was done");
        Err(StepError::failed(said)
            .details(details)
            .help("do what it asks for, and look whether the probes of the service see it; then try again"))
    }

    /// Polls until `done`, saying `doing` meanwhile.
    pub fn poll(
        &self,
        doing: &str,
        patience_ms: u64,
        tell: &Tell,
        mut done: impl FnMut() -> Result<bool, StepError>,
    ) -> Result<bool, StepError> {
        poll(doing, patience_ms, tell, &mut done)
    }
}

/// Polls until `done` or until the time is over; says which.
pub(crate) fn poll(
    doing: &str,
    patience_ms: u64,
    tell: &Tell,
    done: &mut dyn FnMut() -> Result<bool, StepError>,
) -> Result<bool, StepError> {
    let (clock, patience) = (Instant::now(), Duration::from_millis(patience_ms));
    loop {
        if done()? {
            return Ok(true);
        }
        if clock.elapsed() >= patience {
            return Ok(false);
        }
        tell.go_on()?;
        tell.progress(doing, clock.elapsed().as_secs(), Some(patience.as_secs()), Unit::Seconds);
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;
    use switchback_site::SiteDirs;

    #[test]
    fn a_person_who_does_not_come_is_not_believed_to_have_come() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let service = TargetDef::Service {
            spec: json!("none"),
            stores: vec!["config".to_owned()],
            entrance: true,
            old: None,
            new: None,
            rehearse: None,
        };
        let config = TargetDef::File { path: path("app.conf").display().to_string() };
        let targets = BTreeMap::from([("app".to_owned(), service), ("config".to_owned(), config)]);
        let dirs = SiteDirs {
            services: path("services"),
            logs: path("logs"),
            backups: path("backups"),
            artifacts: path("artifacts"),
            program: path("none"),
        };
        let site = Site::open(&targets, dirs).unwrap();
        let known = Known::of(&site, "app").unwrap();
        assert!(known.is_by_hand());
        assert_eq!(
            known.in_the_stores().unwrap(),
            Vec::<String>::new(),
            "a file has no holders worth a word"
        );
        assert!(!known.is_stopped(&Tell::quiet()).unwrap(), "nothing shows that it is");
        let waited = known.wait_for_person("stop it", 1, &Tell::quiet(), || known.is_stopped(&Tell::quiet()));
        let Err(StepError::Failed(trouble)) = waited else { panic!("{waited:?}") };
        assert_eq!(
            trouble.headline(),
            "cannot wait any longer for somebody to stop it: nothing shows that it was done"
        );
        assert_eq!(trouble.details, ["it has neither a probe nor a database to look at"]);
        known.wait_for_person("stop it", 0, &Tell::quiet(), || Ok(true)).unwrap();
    }
}
