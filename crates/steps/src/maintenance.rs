//! `maintenance`: switches an endpoint's maintenance mode, and waits until it is so.

use crate::database::goes_back;
use crate::let_in;
use crate::services::{Known, poll};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::registry::Compiled;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_model::compile::Compile;
use switchback_model::decode::{Duration as Time, OneOrMany, Spanned};
use switchback_model::diagnostic::Diagnostic;
use switchback_model::plan::{Access, Reversal, Switch, Touch};
use switchback_model::record;
use switchback_model::target::{Request, TargetDef};
use switchback_site::{Failure, Halt, Site, SiteError, Tell};

/// How long an endpoint may take to reach the wanted mode.
const PATIENCE_MS: u64 = 60_000;
/// How long an endpoint that does not say its mode is asked again.
const ANSWER_MS: u64 = 1_000;

record! {
    /// Enters or leaves the maintenance mode that the target describes.
    pub struct MaintenanceBody {
        /// Endpoints that enter it.
        pub enter: Option<OneOrMany<Spanned<String>>>,
        /// Endpoints that leave it.
        pub leave: Option<OneOrMany<Spanned<String>>>,
        /// How long they may take.
        pub within: Option<Time>,
    }
}

/// The kind.
pub struct MaintenanceKind;

impl Kind for MaintenanceKind {
    type Body = MaintenanceBody;
    const NAME: &'static str = "maintenance";
    const SAYS: &'static str = "switches an endpoint's maintenance mode, and waits until it is so";

    fn compile(body: MaintenanceBody, cx: &mut Compile<'_>) -> Compiled {
        let mut steps: Vec<Box<dyn switchback_engine::AnyStep>> = Vec::new();
        let within_ms =
            body.within.map_or(PATIENCE_MS, |time| u64::try_from(time.get().as_millis()).unwrap_or(u64::MAX));
        for (names, on) in [(body.enter.unwrap_or_default(), true), (body.leave.unwrap_or_default(), false)] {
            for name in names.0 {
                let target = cx.target_name(&name.value, name.span, &["HTTP endpoint"])?;
                if !matches!(cx.targets.get(&target), Some(TargetDef::Http { maintenance: Some(_), .. })) {
                    cx.out.push(
                        Diagnostic::error("P023", format!("endpoint `{target}` has no maintenance mode"))
                            .at(name.span, "asked for here")
                            .help("describe it at the target: `maintenance: {enter: …, leave: …, is_on: …}`"),
                    );
                    return None;
                }
                steps.push(Box::new(Maintenance { target, on, within_ms }));
            }
        }
        Some(steps)
    }
}

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// Name of the target.
    pub target: String,
    /// Whether it is entered.
    pub on: bool,
    /// How long it may take, in milliseconds.
    pub within_ms: u64,
}

/// How it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaintenanceBefore {
    /// `None` when the endpoint did not say.
    was_on: Option<bool>,
}

impl Maintenance {
    /// Whether it is on; `None` when the endpoint does not say.
    fn is_on(&self, site: &Site, tell: &Tell) -> Result<Option<bool>, StepError> {
        let probe = &site.maintenance(&self.target)?.is_on;
        match site.judge_once(probe, tell) {
            Ok(judgement) => Ok(Some(judgement.holds)),
            // It answered, and with success where the mode shows by something else: the mode is off.
            Err(SiteError::Status { status, .. }) if (200..300).contains(&status) => Ok(Some(false)),
            Err(error) => match StepError::from(error) {
                StepError::Failed(_) | StepError::Conflict(_) => Ok(None),
                halt => Err(halt),
            },
        }
    }

    /// Asks again when the endpoint does not say: one lost answer is no news about its mode.
    fn is_on_by_all_means(&self, site: &Site, tell: &Tell) -> Result<Option<bool>, StepError> {
        let mut is_on = None;
        poll("asking again", ANSWER_MS, tell, &mut || {
            is_on = self.is_on(site, tell)?;
            Ok(is_on.is_some())
        })?;
        Ok(is_on)
    }

    /// Asks for the mode and waits for it. The reply proves nothing: it may be lost although the wish was heard, and a
    /// refusal may mean that it is so already. A wish that was perhaps not heard is said again.
    fn switch(&self, on: bool, site: &Site, work: &Work<'_>) -> Result<(), StepError> {
        let mut replied = self.wish(on, site, work)?;
        let doing =
            format!("waiting until {} {} maintenance", self.target, if on { "enters" } else { "leaves" });
        let reached = poll(&doing, self.within_ms, work.tell, &mut || {
            let is_on = self.is_on(site, work.tell)?;
            if replied.is_err() && is_on == Some(!on) {
                replied = self.wish(on, site, work)?;
            }
            Ok(is_on == Some(on))
        })?;
        if reached {
            return Ok(());
        }
        let reply = match replied {
            Ok(status) => format!("it replied {status}"),
            Err(error) => format!("cannot {error}"),
        };
        let (into, verb) = if on { ("into", "enter") } else { ("out of", "leave") };
        let waited = format!("waited {} s", self.within_ms.div_ceil(1000));
        Err(StepError::failed(format!("bring {} {into} maintenance: it does not {verb} it ({reply}; {waited})", self.target))
            .help("look into what the service behind it logs; one that hangs is to be restarted as it is, then try again"))
    }

    /// Whether the mode is that of a service which this run let in, and which keeps it in stores that go back: the way back
    /// stops the service next, and then takes from its stores whatever it has written. The mode of a release that ran
    /// before the run is nothing of the kind: by the time that is undone, what the run let in is stopped and forgotten.
    fn goes_with_its_service(&self, site: &Site, work: &Work<'_>) -> Result<bool, StepError> {
        let Some(TargetDef::Http { served_by: Some(service), .. }) = site.targets().get(&self.target) else {
            return Ok(false);
        };
        let Some(TargetDef::Service { stores, .. }) = site.targets().get(service) else { return Ok(false) };
        if stores.is_empty() || !let_in::by_this_run(service, work)? {
            return Ok(false);
        }
        for store in stores {
            let is_database = site.targets().get(store).is_some_and(TargetDef::is_database);
            if !is_database || !goes_back(site, store, work)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks a service for the mode before it goes, if it is there to be asked. One that does not heed takes its mode along.
    fn leave_to_its_service(&self, site: &Site, work: &Work<'_>) -> Result<(), StepError> {
        let Some(TargetDef::Http { served_by: Some(service), .. }) = site.targets().get(&self.target) else {
            return Ok(());
        };
        if Known::of(site, service)?.is_stopped(work.tell)? {
            return Ok(());
        }
        match self.switch(!self.on, site, work) {
            Err(StepError::Failed(_)) => Ok(()),
            switched => switched,
        }
    }

    /// Sends the request, and returns its reply; only a cut is an error here.
    fn wish(&self, on: bool, site: &Site, work: &Work<'_>) -> Result<Result<u16, SiteError>, StepError> {
        let maintenance = site.maintenance(&self.target)?;
        let Request { method, url } = if on { &maintenance.enter } else { &maintenance.leave };
        match site.send(method, url, work.tell) {
            Err(error) if error.halt() == Some(Halt::Cut) => Err(StepError::Cut),
            replied => Ok(replied),
        }
    }
}

impl Step for Maintenance {
    const KIND: &'static str = "maintenance";
    type Before = MaintenanceBefore;

    fn describe(&self) -> String {
        format!("{} maintenance of {}", if self.on { "enter" } else { "leave" }, self.target)
    }

    fn subject(&self) -> String {
        self.target.clone()
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::new(&self.target, Access::Writes)]
    }

    fn switches(&self) -> Option<Switch> {
        Some(Switch { target: self.target.clone(), on: self.on })
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByUndo
    }

    fn preview(&self, _world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        Ok(Preview::of(Vec::<String>::new(), 2000))
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        let there = self.is_on_by_all_means(site, work.tell)? == Some(self.on);
        Ok(if there { Condition::applied() } else { Condition::Pending })
    }

    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<MaintenanceBefore, StepError> {
        Ok(MaintenanceBefore { was_on: self.is_on_by_all_means(site, work.tell)? })
    }

    fn apply(&self, site: &Site, _before: &MaintenanceBefore, work: &Work<'_>) -> Result<Value, StepError> {
        if self.is_on_by_all_means(site, work.tell)? != Some(self.on) {
            self.switch(self.on, site, work)?;
        }
        Ok(json!({}))
    }

    fn undo(&self, site: &Site, before: &MaintenanceBefore, work: &Work<'_>) -> Result<(), StepError> {
        match before.was_on {
            Some(was_on) if was_on == self.on => Ok(()),
            _ if self.goes_with_its_service(site, work)? => self.leave_to_its_service(site, work),
            // An endpoint that did not say was most likely as this step did not want it: it began the step. The wish is
            // sent even where it seems fulfilled, since one of ours that was heard may only not have taken hold yet.
            _ => self.switch(!self.on, site, work),
        }
    }

    fn not_rehearsed(&self, site: &Site) -> Option<String> {
        let real = !site.is_served_privately(&self.target);
        real.then(|| format!("{} is the running service, not a copy", self.target))
    }
}
