//! The playbook as it is written: how one application gets from version to version.

use crate::artifact::ArtifactFormat;
use crate::config::ConfigFormat;
use crate::decode::{Decode, Decoder, Duration, Keyed, OneOrMany, Schemas, Spanned};
use crate::diagnostic::{Diagnostic, Span};
use crate::each::Item;
use crate::program::IndexBody;
use crate::text::Template;
use crate::tree::Node;
use crate::tree::Value as Tree;
use crate::version::{Range, Version};
use crate::{choice, record};

/// Version of the playbook language that this build reads.
pub const PLAYBOOK_FORMAT: u64 = 1;

choice! {
    /// The type of an input.
    pub enum InputType {
        /// A path of a file.
        File = "file",
        /// A path of a folder.
        Folder = "folder",
        /// A path of a program.
        Program = "program",
        /// An absolute URL.
        Url = "url",
        /// Any text.
        Text = "text",
        /// How a service is stopped and started, or `none`: a person does it.
        Service = "service",
        /// A TCP port.
        Port = "port",
        /// One of `of`.
        Choice = "choice",
        /// A list, of things with `fields`.
        List = "list",
        /// Something that nobody may read; the site says where it lies, in the environment or in a file.
        Secret = "secret",
    }
}

choice! {
    /// What a database is backed up by, where that is not the planner's to find.
    pub enum BackupPolicy {
        /// Nothing: going without is a risk that the plan asks to accept by name, `no-backup`.
        None = "none",
    }
}

record! {
    /// Something that only the operator knows.
    pub struct Input {
        /// What it is.
        pub r#type: InputType,
        /// What the operator is told about it.
        pub help: Option<String>,
        /// Its value where the site names none.
        pub default: Option<String>,
        /// Whether it may stay away.
        pub optional: Option<bool>,
        /// Another input, in whose place it is given: exactly one of the two must be.
        pub instead_of: Option<Spanned<String>>,
        /// What may be chosen, for a `choice`.
        pub of: Vec<String>,
        /// For a `list`: the fields of each thing in it, and their types. With one field, the thing may be written as its value.
        pub fields: Option<Keyed<InputType>>,
        /// For a `text`: whether it may name things inside a database, such as a schema.
        pub identifier: Option<bool>,
        /// An example for the site file that `init` writes.
        pub example: Option<String>,
    }
}

record! {
    /// A question to the site and the answer that is wanted.
    pub struct ProbeBody {
        /// The database to ask: a target, or `TARGET@backup` for the copy that this run made.
        pub r#in: Option<Spanned<String>>,
        /// One statement that reads; `:name` is the value of an input. A name that ends in `.sql` is a file of the playbook.
        pub sql: Option<Spanned<String>>,
        /// A table, to be compared by `same_as`; in PostgreSQL `[SCHEMA, TABLE]`.
        pub table: OneOrMany<Template>,
        /// Column of this table to column of the other; `*` to `*` for all that are not named.
        pub columns: Option<Keyed<String>>,
        /// A URL to get.
        pub get: Option<Template>,
        /// The status that the answer must have; else any of 200 to 299.
        pub status: Option<u16>,
        /// A jq program over the JSON of the answer, or over each record. A name that ends in `.jq` is a file of the playbook.
        pub jq: Option<Spanned<String>>,
        /// For a URL whose answer is a stream of records of any size: their format. Each output of `jq:` is a row.
        pub records: Option<ArtifactFormat>,
        /// An artifact, for its records: each output of `jq:` is a row.
        pub of: Option<Template>,
        /// Indexes over the records, which `jq:` looks into with `known` and `rank`.
        pub index: Option<Keyed<IndexBody>>,
        /// For records: `true` takes the number of outputs for the answer.
        pub count: Option<bool>,
        /// A text, such as an input.
        pub text: Option<Template>,
        /// A file target, for its content.
        pub file: Option<Spanned<String>>,
        /// A file of the playbook that describes a schema, to be compared with the one schema of a PostgreSQL database.
        pub schema: Option<Spanned<String>>,
        /// A key of that config file: its value is the answer, null where there is no such key.
        pub at: Option<Spanned<String>>,
        /// What that config file is; where its name does not say so.
        pub format: Option<ConfigFormat>,
        /// A database or file target, which must be as it was when the writers had gone.
        pub unchanged: Option<Spanned<String>>,
        /// A command, as a list of arguments.
        pub run: Option<Vec<Template>>,
        /// The exit status that the command must have; else 0.
        pub exit: Option<u16>,
        /// The wanted answer, or a list of which one is wanted.
        pub is: Option<OneOrMany<Node>>,
        /// `true`: there must be no row; each one found is named.
        pub none: Option<bool>,
        /// The answer must equal another's.
        pub same_as: Option<Box<ProbeBody>>,
        /// The answer must match this regular expression, in which `${x}` stands for that text and nothing else.
        pub matches: Option<Template>,
        /// The answer must not match this regular expression.
        pub lacks: Option<Template>,
        /// What is wrong when the answer is another.
        pub r#else: Option<String>,
        /// What mends it.
        pub help: Option<String>,
        /// For how long the question is asked again.
        pub within: Option<Duration>,
    }
}

record! {
    /// What tells the old or the new release of a service by its answers.
    pub struct Identity {
        /// Holds when this release answers.
        pub is: ProbeBody,
    }
}

record! {
    /// One HTTP request of a maintenance switch.
    pub struct RequestBody {
        /// `put`, `post` or `delete`.
        pub method: Method,
        /// The URL.
        pub url: Template,
    }
}

choice! {
    /// An HTTP method that changes something.
    pub enum Method {
        /// PUT.
        Put = "put",
        /// POST.
        Post = "post",
        /// DELETE.
        Delete = "delete",
    }
}

record! {
    /// How an endpoint enters and leaves maintenance.
    pub struct MaintenanceBody {
        /// Enters it.
        pub enter: RequestBody,
        /// Leaves it.
        pub leave: RequestBody,
        /// Holds while it is on.
        pub is_on: ProbeBody,
    }
}

record! {
    /// How a service is run privately in a rehearsal. Paths of targets and URLs of services in its configs and on its command
    /// line are turned into those of the copies; where anything else is left that could name a place, it is not started.
    pub struct PrivateBody {
        /// The URL at which it answers: in a rehearsal it is `http://127.0.0.1:${private.port}`.
        pub url: Option<Template>,
        /// The config files that it reads, each a file target, and what is different in the copy.
        pub reads: Keyed<PrivateFileBody>,
    }
}

record! {
    /// What is different in the copy of a config that a service reads in a rehearsal.
    pub struct PrivateFileBody {
        /// What the file is; where its name does not say so.
        pub format: Option<ConfigFormat>,
        /// Key to value; `${private.port}` is a free port, `${private.folder}` a folder of its own.
        pub set: Keyed<Node>,
        /// Keys that go with their values, such as those of other services.
        pub delete: Vec<Spanned<String>>,
        /// Keys whose values look like a place (a path, an address) and are none.
        pub keep: Vec<Spanned<String>>,
    }
}

record! {
    /// One thing of a site that an upgrade may touch. Exactly one of `sqlite`, `postgres`, `file`, `service`, `http` says
    /// what it is.
    pub struct TargetBody {
        /// Path of a SQLite database.
        pub sqlite: Option<Template>,
        /// Address of a PostgreSQL database; of several, the first whose inputs are given.
        pub postgres: OneOrMany<Template>,
        /// For a PostgreSQL database: the schemas that belong to the application. A name that ends in `.sql` is a file of the
        /// playbook whose query lists them.
        pub schemas: Vec<Template>,
        /// For a PostgreSQL database: nothing is ever written there, and the server sees to it.
        pub read_only: Option<bool>,
        /// For a database: it is made by this upgrade. Before that its schemas, or the file of a SQLite database, are absent
        /// or empty.
        pub made_by_us: Option<bool>,
        /// For a PostgreSQL database: `none` goes without a backup, a risk that is accepted by name.
        pub backup: Option<BackupPolicy>,
        /// Path of a file.
        pub file: Option<Template>,
        /// A service input.
        pub service: Option<Template>,
        /// Base URL of an HTTP endpoint.
        pub http: Option<Template>,
        /// For a service: the targets it keeps its data in.
        pub stores: Vec<Spanned<String>>,
        /// For a service: whether writers come in through it.
        pub entrance: Option<bool>,
        /// For a service: tells the old release.
        pub old: Option<Identity>,
        /// For a service: tells the new release.
        pub new: Option<Identity>,
        /// For a service: how a rehearsal runs its new release privately, over the copies. Without it, it is left out there.
        pub rehearse: Option<PrivateBody>,
        /// For an endpoint: the service that answers there.
        pub served_by: Option<Spanned<String>>,
        /// For an endpoint: how maintenance is entered and left.
        pub maintenance: Option<MaintenanceBody>,
        /// For an endpoint: which component answers there. Artifacts of other components are neither fetched from it nor sent.
        pub component: Option<Spanned<String>>,
        /// For an endpoint: the types of the artifacts that may be sent to it.
        pub accepts: Vec<Spanned<String>>,
    }
}

record! {
    /// A named output of steps, kept with the run until it is finalized.
    pub struct ArtifactBody {
        /// What it holds, by a name of the playbook's own. What is made from it in another form has another type.
        pub r#type: Spanned<String>,
        /// How it is read.
        pub format: ArtifactFormat,
        /// The components that each have one of their own: `NAME[COMPONENT]`.
        pub per: Vec<Spanned<String>>,
        /// `true`: two members with the same content are an error.
        pub distinct: Option<bool>,
        /// `true`: there are secrets in it.
        pub secret: Option<bool>,
    }
}

record! {
    /// A piece of evidence for the installed version.
    pub struct Evidence {
        /// What is looked at, as a noun phrase.
        pub says: Option<String>,
        /// The database to ask.
        pub r#in: Option<Spanned<String>>,
        /// One statement whose first value is the answer.
        pub sql: Option<Spanned<String>>,
        /// A URL to get.
        pub get: Option<Template>,
        /// A jq program over the JSON of the answer.
        pub jq: Option<Spanned<String>>,
        /// A file target, for its content.
        pub file: Option<Spanned<String>>,
        /// A key of that config file.
        pub at: Option<Spanned<String>>,
        /// What that config file is; where its name does not say so.
        pub format: Option<ConfigFormat>,
        /// A command, as a list of arguments.
        pub run: Option<Vec<Template>>,
        /// A regular expression: what its first group finds in the answer stands for the answer.
        pub finds: Option<Spanned<String>>,
        /// It is asked only if this holds.
        pub when: Option<ProbeBody>,
        /// Answer to release (`"0.6"`) or range (`">=0.7"`).
        pub means: Keyed<String>,
        /// Answers of a broken site, each with what to do about it.
        pub broken: Option<Keyed<String>>,
        /// `true`: a site that cannot answer says nothing; else it is a refusal.
        pub may_be_silent: Option<bool>,
    }
}

record! {
    /// How the installed version is found: every piece is asked, and those that answer must agree.
    pub struct Detection {
        /// The evidence.
        pub detect: Vec<Evidence>,
    }
}

record! {
    /// What the upgrade gives up by design.
    pub struct Loss {
        /// Name by which it is accepted.
        pub id: Spanned<String>,
        /// What is lost.
        pub says: String,
        /// A query that names each row that is lost.
        pub rows: Option<ProbeBody>,
        /// Why it cannot be measured, if it cannot.
        pub unmeasured: Option<String>,
    }
}

record! {
    /// A danger that the operator takes on by name.
    pub struct Risk {
        /// Name by which it is accepted.
        pub id: Spanned<String>,
        /// What may happen.
        pub says: String,
        /// Holds when the danger is there; else it always is.
        pub when: Option<ProbeBody>,
    }
}

record! {
    /// A release that the path must not jump over.
    pub struct Release {
        /// The release.
        pub version: Version,
        /// Whether every path through it stops there.
        pub stop: Option<bool>,
        /// Whether writers must come in there before the path goes on.
        pub rests: Option<bool>,
        /// Why.
        pub why: Option<String>,
    }
}

record! {
    /// One edge of the upgrade path.
    pub struct Upgrade {
        /// The releases it starts from.
        pub from: Spanned<Range>,
        /// The release it leads to; `${upgrade.to}` in its steps.
        pub to: Spanned<Version>,
        /// Further releases that the same steps lead to, each an edge of its own.
        pub also: Vec<Version>,
        /// What integrators have to know.
        pub notes: Vec<String>,
        /// Checks and whatever has no impact.
        pub prepare: Vec<StepEntry>,
        /// Writers out.
        pub freeze: Vec<StepEntry>,
        /// Data, schema, config.
        pub change: Vec<StepEntry>,
        /// Reconciliation, still frozen.
        pub prove: Vec<StepEntry>,
        /// Writers in.
        pub thaw: Vec<StepEntry>,
        /// Looking from outside.
        pub confirm: Vec<StepEntry>,
    }
}

record! {
    /// A playbook.
    pub struct Playbook {
        /// Name of the application.
        pub playbook: Spanned<String>,
        /// Version of the language: 1.
        pub format: Spanned<u64>,
        /// One sentence for `switchback list`.
        pub title: Option<String>,
        /// What only the operator knows.
        pub inputs: Keyed<Input>,
        /// What an upgrade may touch.
        pub targets: Keyed<TargetBody>,
        /// What steps make for later ones.
        pub artifacts: Keyed<ArtifactBody>,
        /// How the installed version is found.
        pub version: Detection,
        /// Releases with a say in the path.
        pub releases: Vec<Release>,
        /// What is given up by design.
        pub losses: Vec<Loss>,
        /// What is risked.
        pub risks: Vec<Risk>,
        /// The edges of the upgrade path.
        pub upgrades: Vec<Upgrade>,
    }
}

impl Playbook {
    /// Gives each release that the same steps lead to an edge of its own.
    pub fn unfold(&mut self) {
        let mut upgrades = Vec::new();
        for upgrade in std::mem::take(&mut self.upgrades) {
            let also = upgrade.also.clone();
            let more = also.into_iter().map(|to| {
                let to = Spanned { value: to, span: upgrade.to.span };
                Upgrade { to, also: Vec::new(), ..upgrade.clone() }
            });
            let more: Vec<Upgrade> = more.collect();
            upgrades.push(Upgrade { also: Vec::new(), ..upgrade });
            upgrades.extend(more);
        }
        self.upgrades = upgrades;
    }
}

impl Upgrade {
    /// Returns what its steps know of it: `${upgrade.from}` is the range, `${upgrade.to}` the release.
    pub fn item(&self) -> Item {
        let fields = [("from", self.from.value.to_string()), ("to", self.to.value.to_string())];
        Item {
            key: self.to.value.to_string(),
            fields: fields.map(|(name, value)| (name.to_owned(), value.into())).into(),
            ..Item::default()
        }
    }
}

/// One step as it is written: `kind: body`, and beside the body what every kind has.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StepEntry {
    /// The kind, with its place.
    pub kind: Spanned<String>,
    /// The body, for its kind to read.
    pub body: Node,
    /// What it does, for people, where its kind's own words do not say it well.
    pub says: Option<String>,
    /// Why it is done.
    pub why: Option<String>,
    /// The name it wants in the plan.
    pub id: Option<String>,
    /// It is in the plan only if this holds when planning.
    pub when: Option<ProbeBody>,
    /// `false`: it is about the site itself, and has no meaning on copies.
    pub rehearse: Option<bool>,
}

/// The keys that every step has, whatever its kind: taken out before the kind reads the body.
const COMMON: [&str; 5] = ["says", "why", "id", "when", "rehearse"];

impl StepEntry {
    /// Adds to the schema of a kind's body what every step may say. A body that is no map has no room for it.
    pub fn with_common(body: serde_json::Value, cx: &mut Schemas) -> serde_json::Value {
        let mut whole = cx.resolved(&body);
        let Some(properties) = whole.get_mut("properties").and_then(serde_json::Value::as_object_mut) else {
            return body;
        };
        let text = |says: &str| serde_json::json!({ "type": "string", "description": says });
        properties
            .insert("says".to_owned(), text("What it does, where its kind's own words do not say it well."));
        properties.insert("why".to_owned(), text("Why it is done."));
        properties.insert("id".to_owned(), text("The name it wants in the plan."));
        properties.insert("when".to_owned(), ProbeBody::schema(cx));
        properties.insert(
            "rehearse".to_owned(),
            serde_json::json!({ "type": "boolean", "description": "`false`: it is about the site itself, and has no meaning on copies." }),
        );
        whole
    }
}

impl Decode for StepEntry {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<StepEntry> {
        let Tree::Map(entries) = &node.value else {
            cx.push(not_a_step(node.span));
            return None;
        };
        let [(kind, body)] = entries.as_slice() else {
            cx.push(not_a_step(node.span));
            return None;
        };
        let kind = Spanned { value: kind.text.clone(), span: kind.span };
        let mut entry = StepEntry {
            kind,
            body: body.clone(),
            says: None,
            why: None,
            id: None,
            when: None,
            rehearse: None,
        };
        let Tree::Map(fields) = &body.value else { return Some(entry) };
        for (key, value) in fields {
            match key.text.as_str() {
                "says" => entry.says = Some(String::decode(value, cx)?),
                "why" => entry.why = Some(String::decode(value, cx)?),
                "id" => entry.id = Some(String::decode(value, cx)?),
                "when" => entry.when = Some(ProbeBody::decode(value, cx)?),
                "rehearse" => entry.rehearse = Some(bool::decode(value, cx)?),
                _ => {}
            }
        }
        let own = fields.iter().filter(|(key, _)| !COMMON.contains(&key.text.as_str())).cloned().collect();
        entry.body.value = Tree::Map(own);
        Some(entry)
    }

    fn schema(_: &mut Schemas) -> serde_json::Value {
        serde_json::json!({ "$ref": "#/$defs/Step" })
    }
}

fn not_a_step(span: Span) -> Diagnostic {
    Diagnostic::error("P007", "a step is a map with one key, its kind")
        .at(span, "this is not one")
        .help("write `- stop: app`, with everything about the step below its kind")
}

impl Default for ProbeBody {
    /// A probe that asks nothing: the beginning of one that is put together.
    fn default() -> ProbeBody {
        ProbeBody {
            r#in: None,
            sql: None,
            table: OneOrMany::default(),
            columns: None,
            get: None,
            status: None,
            jq: None,
            records: None,
            of: None,
            index: None,
            count: None,
            text: None,
            file: None,
            schema: None,
            at: None,
            format: None,
            unchanged: None,
            run: None,
            exit: None,
            is: None,
            none: None,
            same_as: None,
            matches: None,
            lacks: None,
            r#else: None,
            help: None,
            within: None,
        }
    }
}
