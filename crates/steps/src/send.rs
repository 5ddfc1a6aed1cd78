//! `send`: sends an artifact to an endpoint, and believes what the endpoint gives back rather than its answer.

mod items;

use items::{EachBody, Items, items};

use crate::endpoint::{Get, IDLE_MS, SealedHeaders, endpoint, headers, millis, reveal, url};
use crate::fetch::shown;
use crate::services::{Known, READY_MS};
use crate::transform::{VARS, scratch, workers};
use crate::trial::remove;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use switchback_engine::registry::Compiled;
use switchback_engine::run_dir::write_durably;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_flow::same::{Canon, Sameness, Side, same};
use switchback_flow::transform::Bench;
use switchback_model::artifact::Artifact;
use switchback_model::compile::Compile;
use switchback_model::decode::{Duration as Time, Keyed, Spanned};
use switchback_model::diagnostic::Diagnostic;
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::program::IndexBody;
use switchback_model::record;
use switchback_model::records::Shape;
use switchback_model::target::TargetDef;
use switchback_model::text::Template;
use switchback_site::Site;
use switchback_site::http::{Downloaded, HttpError, Method, Upload, Url, upload};
use switchback_site::service::Which;
use switchback_site::{Failure, Halt};

/// How long an endpoint may take from the last byte to its answer, unless the playbook says otherwise.
const ANSWER_MS: u64 = 600_000;
/// How often an artifact is sent before it is given up.
const TRIES: u32 = 3;
/// How long what may still go on behind a lost answer is watched before the service is restarted.
const WATCH: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);
/// How long one batch of a comparison may take, and how much memory a child may have.
const PATIENCE: Duration = Duration::from_secs(60);
const MEMORY: u64 = 512 << 20;

record! {
    /// Sends an artifact to an endpoint whose service runs for this upgrade alone, and gets it back to compare.
    pub struct SendBody {
        /// The artifact.
        pub from: Template,
        /// The endpoint.
        pub to: Spanned<String>,
        /// The path below its address, for a POST.
        pub post: Option<Template>,
        /// The path below its address, for a PUT.
        pub put: Option<Template>,
        /// One request for each record, instead of one for all. Only with `put:`, which may be repeated.
        pub each: Option<EachBody>,
        /// How the endpoint is asked what it has now. This alone says whether it worked.
        pub read_back: ReadBackBody,
        /// A service that is restarted before the artifact is sent once more: what it was at ends with it.
        pub settles: Option<Spanned<String>>,
        /// The type that is told to the endpoint.
        pub content_type: Option<String>,
        /// For how long no byte may go or come.
        pub idle: Option<Time>,
        /// How long the answer may take once everything is sent.
        pub within: Option<Time>,
        /// Headers to send, there and back. A secret in one is neither in the plan nor in a log.
        pub headers: Option<Keyed<Template>>,
    }
}

record! {
    /// How what was sent is got back.
    pub struct ReadBackBody {
        /// The path below the endpoint's address.
        pub get: Template,
        /// The artifact that it becomes.
        pub into: Template,
        /// A jq program that takes out of a record what may differ, on both sides. Their order does not matter.
        pub same: Option<Spanned<String>>,
        /// Indexes for that program, over each side for itself.
        pub index: Option<Keyed<IndexBody>>,
    }
}

/// The kind.
pub struct SendKind;

impl Kind for SendKind {
    type Body = SendBody;
    const NAME: &'static str = "send";
    const SAYS: &'static str = "sends an artifact to an endpoint, and believes only what that gives back";

    fn compile(body: SendBody, cx: &mut Compile<'_>) -> Compiled {
        let (to, from) = (endpoint(&body.to, cx), cx.artifact(&body.from));
        let back = cx.artifact(&body.read_back.into);
        let (to, from, back) = (to?, from?, back?);
        cx.fits(&from, &to, true, body.from.span())?;
        cx.fits(&back, &to, false, body.read_back.into.span())?;
        let (method, path) = match (&body.post, &body.put) {
            (Some(path), None) => (Method::Post, path),
            (None, Some(path)) => (Method::Put, path),
            _ => {
                cx.out.push(
                    Diagnostic::error("P013", "an artifact is sent to one place")
                        .at(body.from.span(), "sent where?")
                        .help("give it one of `post:` and `put:`"),
                );
                return None;
            }
        };
        if body.each.is_some() && method != Method::Put {
            cx.out.push(
                Diagnostic::error("P013", "records are sent one by one with `put:` only")
                    .at(body.from.span(), "sent by POST")
                    .help("a POST whose answer is lost can neither be repeated nor left out; take an endpoint for PUT"),
            );
            return None;
        }
        let each = match &body.each {
            Some(each) => Some(items(each, cx)?),
            None => None,
        };
        if from.format.shape().is_none() || back.format.shape().is_none() {
            cx.out.push(
                Diagnostic::error("P045", "bytes cannot be compared record by record")
                    .at(body.from.span(), "sent and read back")
                    .help("give both artifacts a format of JSON"),
            );
            return None;
        }
        let service = match cx.targets.get(&to) {
            Some(TargetDef::Http { served_by: Some(service), .. }) => service.clone(),
            _ => {
                cx.out.push(
                    Diagnostic::error("P048", format!("nobody knows what a `send` to {to} changes"))
                        .at(body.to.span, "its service is not named")
                        .help(
                            "give the endpoint `served_by:` with a service, and that service its `stores:`",
                        ),
                );
                return None;
            }
        };
        let is_database = |store: &String| cx.targets.get(store).is_some_and(TargetDef::is_database);
        let restored = match cx.targets.get(&service) {
            Some(TargetDef::Service { stores, .. }) => stores.iter().any(is_database),
            _ => false,
        };
        let settles = match &body.settles {
            Some(settles) => Some(cx.target_name(&settles.value, settles.span, &["service"])?),
            None => None,
        };
        let program = match &body.read_back.same {
            Some(program) => Some(cx.program_over(program, VARS)?),
            None => None,
        };
        let index = cx.indexes(body.read_back.index.as_ref(), VARS)?;
        Some(vec![Box::new(Send {
            url: url(&to, path, cx)?,
            back_url: url(&to, &body.read_back.get, cx)?,
            headers: headers(body.headers.as_ref(), cx)?,
            content_type: body.content_type.unwrap_or_else(|| "application/json".to_owned()),
            idle_ms: millis(body.idle, IDLE_MS),
            within_ms: millis(body.within, ANSWER_MS),
            same: Canon { program, index },
            from,
            to,
            method,
            back,
            service,
            restored,
            settles,
            each,
        })])
    }
}

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// What is sent.
    pub from: Artifact,
    /// The endpoint.
    pub to: String,
    /// How it is sent.
    pub method: Method,
    /// Where to.
    pub url: String,
    /// Where what arrived is got from.
    pub back_url: String,
    /// What it becomes.
    pub back: Artifact,
    /// How the two are compared.
    #[serde(default)]
    pub same: Canon,
    /// Sent with each request.
    #[serde(default, skip_serializing_if = "SealedHeaders::is_empty")]
    pub headers: SealedHeaders,
    /// The type that is told.
    pub content_type: String,
    /// The service that answers there: what it stores is what changes.
    pub service: String,
    /// Whether what it stores is in databases that a backup brings back.
    pub restored: bool,
    /// The service that is restarted before another try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settles: Option<String>,
    /// How its records are sent one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Items>,
    /// For how long no byte may go or come, in milliseconds.
    pub idle_ms: u64,
    /// How long the answer may take, in milliseconds.
    pub within_ms: u64,
}

/// How an endpoint stands, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendBefore {
    /// How many records it gave.
    records: u64,
}

/// What an endpoint gave back.
enum Back {
    /// What was sent.
    Same(PathBuf, Downloaded),
    /// Something else, in words, with its number of records.
    Other(u64, String),
    /// Nothing that can be read, and why.
    Silent(String),
}

impl Send {
    fn begun(work: &Work<'_>) -> PathBuf {
        work.dir.keep().join(format!("{}.begun", work.step))
    }

    /// Asks what it has now, and compares that with what is sent.
    fn look(&self, sent: &Path, site: &Site, work: &Work<'_>) -> Result<Back, StepError> {
        let scratch = scratch(site, &self.back)?;
        let into = scratch.join("back");
        let get =
            Get { url: &self.back_url, headers: &self.headers, artifact: &self.back, idle_ms: self.idle_ms };
        let got = match get.to(&into, work) {
            Ok(got) => got,
            Err(StepError::Failed(trouble) | StepError::Conflict(trouble)) => {
                return Ok(Back::Silent(trouble.message));
            }
            Err(halt) => return Err(halt),
        };
        let bench = Bench {
            child: site.jq(),
            from: sent,
            shape: Shape::Values,
            into: &into,
            scratch: &scratch,
            seed: work.run,
            now: work.now,
            workers: workers(),
            memory: MEMORY,
            patience: PATIENCE,
        };
        let side = |path, artifact: &Artifact| Side {
            path,
            shape: artifact.format.shape().unwrap_or(Shape::Values),
        };
        let compared = same(&self.same, side(sent, &self.from), side(&into, &self.back), &bench, work.tell)?;
        Ok(match compared.equal {
            true => Back::Same(into, got),
            false => Back::Other(got.records.unwrap_or(0), differs(&compared)),
        })
    }

    /// Sends it, and says what came of it. That proves nothing.
    fn send(&self, sent: &Path, work: &Work<'_>) -> Result<Result<u16, String>, StepError> {
        let (url, headers) = (Url::parse(&self.url)?, reveal(&self.headers)?);
        let ask = Upload {
            method: self.method,
            url: &url,
            headers: &headers,
            from: sent,
            content_type: &self.content_type,
            idle: Duration::from_millis(self.idle_ms),
            answer_within: Duration::from_millis(self.within_ms),
        };
        match upload(&ask, work.tell) {
            Ok(response) => Ok(Ok(response.status)),
            Err(error) => lost(error).map(Err),
        }
    }

    /// Asks until it has what was sent, for as long as something may still go on there.
    fn arrived(&self, sent: &Path, answered: bool, site: &Site, work: &Work<'_>) -> Result<Back, StepError> {
        let clock = Instant::now();
        let patience = match (answered, &self.settles) {
            (true, _) => Duration::ZERO,
            (false, Some(_)) => WATCH,
            (false, None) => Duration::from_millis(self.within_ms),
        };
        loop {
            let back = self.look(sent, site, work)?;
            // A service that has just answered may be looked at once too early; one that does not answer may come back.
            let waits = match back {
                Back::Same(..) => false,
                Back::Silent(_) => clock.elapsed() < patience.max(WATCH),
                Back::Other(..) => clock.elapsed() < patience,
            };
            if !waits {
                return Ok(back);
            }
            work.tell.go_on()?;
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends whatever the service is at, so that what is sent next meets nothing of the try before.
    fn settle(&self, site: &Site, work: &Work<'_>) -> Result<(), StepError> {
        let Some(name) = &self.settles else { return Ok(()) };
        let known = Known::of(site, name)?;
        site.service(name)?.stop(work.tell)?;
        site.service(name)?.start(Which::New, work.tell)?;
        known.wait_ready(Which::New, READY_MS, work.tell)
    }

    /// Refuses an endpoint that has anything before something was sent to it: what replaces it would take that away.
    fn refuse_foreign(&self, sent: &Path, site: &Site, work: &Work<'_>) -> Result<(), StepError> {
        let back = self.look(sent, site, work);
        self.forget_scratch(site)?;
        match back? {
            Back::Same(_, Downloaded { records: Some(0), .. }) | Back::Other(0, _) => Ok(()),
            Back::Silent(why) => Err(StepError::failed(format!("ask {} what it has: {why}", self.to))
                .help("it must run and answer before anything is sent to it")),
            Back::Same(_, Downloaded { records, .. }) => Err(foreign(&self.to, records.unwrap_or(0))),
            Back::Other(records, _) => Err(foreign(&self.to, records)),
        }
    }

    fn finish(
        &self,
        (path, got): (PathBuf, Downloaded),
        site: &Site,
        work: &Work<'_>,
    ) -> Result<Value, StepError> {
        let partial = site.artifacts().partial(&self.back);
        std::fs::rename(&path, &partial)
            .map_err(|e| StepError::failed(format!("rename {}: {e}", path.display())))?;
        let get =
            Get { url: &self.back_url, headers: &self.headers, artifact: &self.back, idle_ms: self.idle_ms };
        let facts = get.keep(got, site, work)?;
        self.forget_scratch(site)?;
        Ok(json!({ "records": facts.records, "bytes": facts.bytes, "read_back": facts.blake3 }))
    }

    fn forget_scratch(&self, site: &Site) -> Result<(), StepError> {
        let folder = site.artifacts().scratch(&self.back);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StepError::failed(format!("remove {}: {error}", folder.display())))
            }
            _ => Ok(()),
        }
    }
}

/// Returns what a lost answer is; only an end from outside is an error here.
fn lost(error: HttpError) -> Result<String, StepError> {
    match error.halt() {
        Some(Halt::Cut | Halt::Interrupted) => Err(error.into()),
        _ => Ok(error.to_string()),
    }
}

fn differs(compared: &Sameness) -> String {
    let (sent, back) = compared.records;
    let mut text = format!("{sent} were sent, {back} came back");
    for (numbers, what) in
        [(&compared.only_first, "sent and not there"), (&compared.only_second, "there and not sent")]
    {
        if let Some(first) = numbers.first() {
            text.push_str(&format!("; {what}: record {first}"));
            if numbers.len() > 1 {
                text.push_str(" and others");
            }
        }
    }
    text
}

impl Step for Send {
    const KIND: &'static str = "send";
    type Before = SendBefore;

    fn describe(&self) -> String {
        format!("send {} to {}, and compare what it gives back", self.from.label(), self.to)
    }

    fn subject(&self) -> String {
        self.from.file_name()
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::new(&self.to, Access::Writes), Touch::new(&self.service, Access::Feeds)]
    }

    fn makes(&self) -> Vec<Artifact> {
        vec![self.back.clone()]
    }

    fn takes(&self) -> Vec<Artifact> {
        vec![self.from.clone()]
    }

    fn reversal(&self) -> Reversal {
        if self.restored { Reversal::ByRestore } else { Reversal::Never }
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        if let Some(TargetDef::Service { stores, .. }) = world.site.targets().get(&self.service) {
            for store in stores.clone() {
                world.lose_sight(&store, format!("{} will have stored what was sent", self.service));
            }
        }
        let lines = [
            format!("{} {}", self.method.as_str(), shown(&self.url)),
            format!("GET {} must give the same", shown(&self.back_url)),
        ];
        Ok(Preview::of(lines, 5000))
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        let artifacts = site.artifacts();
        let noted = artifacts.standing(&self.back, work.step, work.tell)?;
        let begun = Send::begun(work).exists();
        if noted.is_none() && !begun {
            return Ok(Condition::Pending);
        }
        let sent = artifacts.whole(&self.from, work.tell)?.0;
        let back = self.look(&sent, site, work);
        self.forget_scratch(site)?;
        Ok(match (back?, noted) {
            // A service that is not there any more has nothing else to say than what it said.
            (Back::Same(..) | Back::Silent(_), Some(true)) => Condition::applied(),
            _ => Condition::Partial,
        })
    }

    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<SendBefore, StepError> {
        let sent = site.artifacts().whole(&self.from, work.tell)?.0;
        self.refuse_foreign(&sent, site, work)?;
        Ok(SendBefore { records: 0 })
    }

    fn apply(&self, site: &Site, _before: &SendBefore, work: &Work<'_>) -> Result<Value, StepError> {
        let sent = site.artifacts().whole(&self.from, work.tell)?.0;
        let begun = Send::begun(work);
        let mut said = None;
        if begun.exists() {
            // An earlier life sent it, or a part of it.
            match self.arrived(&sent, false, site, work)? {
                Back::Same(path, got) => return self.finish((path, got), site, work),
                Back::Other(_, differs) => said = Some(format!("an earlier try: {differs}")),
                Back::Silent(why) => said = Some(format!("an earlier try: {why}")),
            }
        } else {
            self.refuse_foreign(&sent, site, work)?;
        }
        for _ in 0..TRIES {
            if said.is_some() {
                self.settle(site, work)?;
                // What was answered is not all there: everything is sent once more.
                remove(&Items::note(work))?;
            }
            work.tell.point("send: before note")?;
            write_durably(&begun, b"")
                .map_err(|e| StepError::failed(format!("write {}: {e}", begun.display())))?;
            let reply = match &self.each {
                Some(each) => {
                    each.send(self, &sent, site, work)?.map(|count| format!("{count} were answered"))
                }
                None => self.send(&sent, work)?.map(|status| format!("it answered {status}")),
            };
            work.tell.point("send: answered")?;
            let reply_said = match &reply {
                Ok(said) => said.clone(),
                Err(why) => format!("cannot {why}"),
            };
            match self.arrived(&sent, reply.is_ok(), site, work)? {
                Back::Same(path, got) => return self.finish((path, got), site, work),
                Back::Other(_, differs) => said = Some(format!("{reply_said}; {differs}")),
                Back::Silent(why) => said = Some(format!("{reply_said}; cannot {why}")),
            }
        }
        self.forget_scratch(site)?;
        Err(StepError::failed(format!("bring {} into {}", self.from.label(), self.to))
            .details(said.into_iter().collect())
            .help(format!("it was sent {TRIES} times; what {} logs may tell why", self.service)))
    }

    fn undo(&self, site: &Site, _before: &SendBefore, work: &Work<'_>) -> Result<(), StepError> {
        site.artifacts().remove(&self.back, work.tell)?;
        remove(&Items::note(work))?;
        remove(&Send::begun(work))
    }

    fn not_rehearsed(&self, site: &Site) -> Option<String> {
        let urls = [&self.url, &self.back_url];
        let real =
            !site.is_served_privately(&self.to) || urls.into_iter().any(|url| !site.is_private_url(url));
        let settled = self.settles.as_ref().filter(|service| !site.runs_privately(service));
        match (real, settled) {
            (true, _) => Some(format!("{} is the running service, not a copy", self.to)),
            (false, Some(service)) => Some(format!("{service} stays as it is")),
            (false, None) => None,
        }
    }
}

fn foreign(endpoint: &str, records: u64) -> StepError {
    let records = switchback_model::words::count(records, "record");
    StepError::conflict(format!("{endpoint} has {records} that this run has not sent"))
        .help("an import would take them away; find out whose they are, and keep them elsewhere")
}
