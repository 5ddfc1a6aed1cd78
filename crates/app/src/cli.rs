//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Upgrades self-hosted software by a playbook: planned, rehearsed on a copy, carried out with a journal, proven row by
/// row, and reversible until writers are let back in.
#[derive(Debug, Parser)]
#[command(name = "switchback", version, max_term_width = 100, disable_help_subcommand = true, after_help = AFTER)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const AFTER: &str = "\
A first upgrade:
  switchback init APP > site.yaml   then fill in what it asks for
  switchback plan                   read it: what changes, what is lost, how long, the way back
  switchback rehearse               the same on scratch copies; measures how long it takes
  switchback apply                  carries it out
  switchback finalize               once all is well: drops what was kept for the way back

Exit codes:
  0 upgraded, or nothing to do     20 failed and rolled back: as before
  2 usage                          21 stuck: an undo failed or foreign hands, a person is needed
  10 playbook invalid              22 held past the commit point: a person decides
  11 site not as expected,         30 interrupted, resumable
     nothing changed               1 a bug in switchback
  12 another run holds the lock";

const PLAN: &str = "\
The plan is left in the state folder, where `rehearse` and `apply` find it: what was read is what runs.
With -v it also says why each step is there, and which line of the playbook asks for it.";

const APPLY: &str = "\
Before anything is touched, the site is looked at again; one that is not the one of the plan is refused.
A failure before writers are let in takes the run back by itself, and the exit code is 20.

What a plan gives up has to be accepted by name, each one:
  switchback apply --accept old-drafts --accept old-notices";

const RESUME: &str = "\
All that it needs is in the state folder: the site file may be gone.
A run that is held past the commit point is tried again; --accept STEP goes on without that step.";

const ROLLBACK: &str = "\
It works until `switchback finalize`. What others have written since the commit point is listed first,
and it is given up by --losing-writes only; --yes does not answer for it.";

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The site file
    #[arg(long, global = true, default_value = "site.yaml", value_name = "FILE")]
    pub site: PathBuf,
    /// Where runs, backups and plans lie [default: .switchback beside the site file]
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Gives an input a value, over the site file's
    #[arg(long, global = true, value_name = "INPUT=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Writes JSON to standard output instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Says more
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Never uses colour
    #[arg(long, global = true, env = "NO_COLOR", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_color: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as INPUT=VALUE".to_owned()),
    }
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// What a signal does before the commit point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnInterrupt {
    /// The run stops and can be resumed.
    Stop,
    /// The run goes back.
    Rollback,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists the shipped playbooks: from which versions to which
    List,
    /// Writes a commented site file that explains every input
    #[command(after_help = "Example: switchback init APP > site.yaml")]
    Init {
        /// A shipped playbook, or a playbook file
        playbook: String,
    },
    /// Finds the installed version, with the evidence for it
    Detect,
    /// Shows path, steps, diffs, losses, downtime and disk needed; changes nothing
    #[command(after_help = PLAN)]
    Plan {
        /// The release to go to [default: the newest that the playbook leads to]
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        /// Where the plan is written [default: plan.json in the state folder]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Carries the plan out on scratch copies
    Rehearse {
        /// The plan [default: the one that `plan` left, else a new one]
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
        /// Keeps the scratch copies
        #[arg(long)]
        keep: bool,
    },
    /// Carries the plan out
    #[command(after_help = APPLY)]
    Apply {
        /// The plan [default: the one that `plan` left, else a new one]
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
        /// Does not ask; accepts no loss, no risk and no step without a way back
        #[arg(long)]
        yes: bool,
        /// Accepts a loss, a risk or a step without a way back, by its name
        #[arg(long, value_name = "NAME")]
        accept: Vec<String>,
        /// What a signal does before the commit point
        #[arg(long, value_enum, default_value = "stop")]
        on_interrupt: OnInterrupt,
    },
    /// Takes an open run up where its journal ends
    #[command(after_help = RESUME)]
    Resume {
        /// Goes on although this step failed; past the commit point only
        #[arg(long, value_name = "STEP")]
        accept: Option<String>,
        /// Does nothing, with exit code 0, when no run is open: for a boot unit
        #[arg(long)]
        if_open: bool,
        /// What a signal does before the commit point
        #[arg(long, value_enum, default_value = "stop")]
        on_interrupt: OnInterrupt,
    },
    /// Takes the last run back: the site is as before
    #[command(after_help = ROLLBACK)]
    Rollback {
        /// Another run than the newest open one, or the newest if none is open
        #[arg(long, value_name = "NAME")]
        run: Option<String>,
        /// Does not ask
        #[arg(long)]
        yes: bool,
        /// Gives up what others have written since
        #[arg(long)]
        losing_writes: bool,
    },
    /// Drops what was kept for the way back
    Finalize {
        /// Another run than the newest open one, or the newest if none is open
        #[arg(long, value_name = "NAME")]
        run: Option<String>,
        /// Only the exports with secrets in them go; the way back stays
        #[arg(long)]
        secrets_only: bool,
        /// Does not ask
        #[arg(long)]
        yes: bool,
    },
    /// Says where the last run stands; exits with 30 while it is open
    Status {
        /// Another run than the newest open one, or the newest if none is open
        #[arg(long, value_name = "NAME")]
        run: Option<String>,
    },
    /// Writes a report of the last run
    Report {
        /// How it is written
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        /// Another run than the newest open one, or the newest if none is open
        #[arg(long, value_name = "NAME")]
        run: Option<String>,
    },
    /// Checks a playbook: everything that is wrong, at once
    Validate {
        /// A shipped playbook, or a playbook file
        playbook: String,
    },
    /// Finds traps in a playbook that is valid
    Lint {
        /// A shipped playbook, or a playbook file
        playbook: String,
    },
    /// Renders a playbook as a migration guide
    Explain {
        /// A shipped playbook, or a playbook file
        playbook: String,
    },
    /// Prints the JSON Schemas of playbooks and site files
    Schema {
        /// Which one
        #[arg(value_enum, default_value = "playbook")]
        of: SchemaOf,
    },
    /// Builds an old installation in a scratch folder and upgrades it
    Demo {
        /// The application [default: the smallest of those that there are]
        app: Option<String>,
        /// Where [default: a new folder for temporary files]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// How many machines the old installation has
        #[arg(long, default_value_t = 5)]
        machines: u32,
        /// How many backups the old installation has
        #[arg(long, default_value_t = 156)]
        backups: u32,
        /// Only builds the old installation and its site file
        #[arg(long)]
        build_only: bool,
        /// With --build-only: starts the old release as well, and leaves it running
        #[arg(long, requires = "build_only", hide = true)]
        running: bool,
        /// A fault of the old installation, by its name in the lab
        #[arg(long, value_name = "NAME", hide = true)]
        fault: Vec<String>,
    },
    /// Runs one jq program for the parent process
    #[command(hide = true)]
    JqChild,
    /// Stands in for a service of a lab
    #[command(hide = true)]
    LabService {
        /// The application.
        app: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// Whose schema is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// Playbooks.
    Playbook,
    /// Site files.
    Site,
}
