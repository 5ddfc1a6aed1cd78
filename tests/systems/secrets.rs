//! A secret goes where it is needed, and nowhere else: not into a plan, a journal, a report or what is said.

use crate::support::{BINARY, Ran};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const SECRET: &str = "hunter2 \"quoted\" é";
const OLD: &str = "old-and-hidden";
const PLAYBOOK: &str = r#"playbook: keeper
format: 1
inputs:
  config: {type: file, help: "the config"}
  signing: {type: secret, help: "what cookies are signed with"}
  made: {type: file, help: "made by a command"}
targets:
  config: {file: "${config}"}
  made: {file: "${made}"}
version:
  detect:
    - {file: config, format: yaml, at: release, means: {"1": "1.0", "2": "2.0"}}
upgrades:
  - from: "1.0"
    to: "2.0"
    change:
      - edit: {file: config, format: yaml, set: {web.cookie: "${signing}", web.greeting: "key ${signing}!", release: 2}}
      - run:
          argv: [sh, -c, 'printf %s "$SIGNING" > "$0"; echo "signed with $SIGNING"; exit FATE', "${made}"]
          env: {SIGNING: "${signing}"}
          writes: [made]
          done_when: {file: made, matches: "DONE"}
"#;

struct Keeper {
    folder: TempDir,
}

impl Keeper {
    /// The command of the playbook ends with `fate`, and what it made is looked for.
    fn new(fate: &str, done: &str) -> Keeper {
        let keeper = Keeper { folder: TempDir::new().unwrap() };
        let playbook = PLAYBOOK.replace("FATE", fate).replace("DONE", done);
        keeper.write("keeper.yaml", &playbook);
        keeper.write("config.yaml", &format!("# the config\nrelease: 1\nweb:\n  cookie: {OLD}   # kept\n"));
        keeper.write("signing", &format!("{SECRET}\n"));
        keeper.write(
            "site.yaml",
            "playbook: keeper.yaml\ninputs:\n  config: config.yaml\n  signing: {file: signing}\n  made: made\n",
        );
        keeper
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(BINARY);
        command.args(args).arg("--site").arg(self.path("site.yaml")).env_remove("SIGNING");
        let ran = Ran::of(&command.output().unwrap());
        assert!(!ran.said().contains("hunter2") && !ran.said().contains(OLD), "{}", ran.said());
        ran
    }

    /// Every file of the state folder that holds the secret, by its place below.
    fn holders(&self) -> Vec<String> {
        let mut found = Vec::new();
        let root = self.path(".switchback");
        look(&root, &mut |path| {
            if String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains("hunter2") {
                let parts: Vec<_> = path.components().rev().take(2).map(|part| part.as_os_str()).collect();
                found.push(format!("{}/{}", parts[1].to_string_lossy(), parts[0].to_string_lossy()));
            }
        });
        found.sort();
        found
    }
}

fn look(folder: &Path, at: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { look(&path, at) } else { at(&path) }
    }
}

#[test]
fn a_secret_gets_to_the_file_and_the_command_that_need_it_and_nowhere_else() {
    let keeper = Keeper::new("0", "quoted");
    let plan = keeper.run(&["plan"]).expect(0, &["`web.cookie` is set, with secret signing"]);
    assert!(plan.said().contains("release: 2"), "{}", plan.said());
    assert_eq!(keeper.holders(), [""; 0]);
    keeper.run(&["apply", "--yes"]).expect(0, &["upgraded"]);
    let config = keeper.read("config.yaml");
    assert_eq!(
        config,
        "# the config\nrelease: 2\nweb:\n  cookie: 'hunter2 \"quoted\" é'   # kept\n  greeting: 'key hunter2 \"quoted\" é!'\n"
    );
    assert_eq!(keeper.read("made"), SECRET);
    keeper.run(&["report"]).expect(0, &["web.cookie"]);
    keeper.run(&["--json", "report"]).expect(0, &[]);
    // What is kept for the way back holds what the file holds; the log holds what the command printed.
    assert_eq!(keeper.holders(), ["keep/edit-config.after", "logs/run-sh.out"]);
    keeper.run(&["rollback", "--yes"]).expect(0, &[]);
    assert!(keeper.read("config.yaml").contains(OLD) && !keeper.path("made").exists());
}

#[test]
fn the_way_back_needs_no_secret() {
    let keeper = Keeper::new("0", "quoted");
    keeper.run(&["apply", "--yes"]).expect(0, &["upgraded"]);
    std::fs::remove_file(keeper.path("signing")).unwrap();
    keeper.run(&["rollback", "--yes"]).expect(0, &[]);
    assert!(keeper.read("config.yaml").contains(OLD));
}

#[test]
fn what_a_failed_command_prints_is_shown_without_the_secret() {
    let keeper = Keeper::new("3", "never");
    keeper.run(&["apply", "--yes"]).expect(20, &["signed with …", "rolled back"]);
    assert!(keeper.read("config.yaml").contains(OLD));
}

#[test]
fn a_secret_that_is_missing_or_another_is_refused_before_anything_changes() {
    let keeper = Keeper::new("0", "quoted");
    keeper.run(&["plan"]).expect(0, &[]);
    keeper.write("signing", "another\n");
    keeper.run(&["apply", "--yes"]).expect(11, &["A012", "secret signing"]);
    std::fs::remove_file(keeper.path("signing")).unwrap();
    keeper.run(&["apply", "--yes"]).expect(11, &["D017", "cannot read secret `signing`"]);
    assert!(keeper.read("config.yaml").contains("release: 1"));
    let site = keeper.read("site.yaml").replace("{file: signing}", "hunter2");
    keeper.write("site.yaml", &site);
    keeper.run(&["plan"]).expect(2, &["S005", "must say where it lies"]);
}

#[test]
fn a_run_is_not_taken_up_with_another_secret() {
    let keeper = Keeper::new("0", "quoted");
    keeper.run(&["plan"]).expect(0, &[]);
    let mut command = Command::new(BINARY);
    command.args(["apply", "--yes", "--site"]).arg(keeper.path("site.yaml"));
    let killed = command.env("SWITCHBACK_FAULT", "kill@9").status().unwrap();
    assert!(!killed.success());
    keeper.write("signing", "another\n");
    keeper.run(&["resume"]).expect(11, &["A015", "not the one that the plan was made with"]);
    keeper.write("signing", &format!("{SECRET}\n"));
    keeper.run(&["resume"]).expect(0, &["upgraded"]);
    assert_eq!(keeper.read("made"), SECRET);
}

#[test]
fn a_secret_as_an_argument_is_refused_where_it_stands() {
    let keeper = Keeper::new("0", "quoted");
    let playbook = keeper.read("keeper.yaml").replace("\"${made}\"]", "\"${signing}\"]");
    keeper.write("keeper.yaml", &playbook);
    let playbook = keeper.path("keeper.yaml");
    keeper
        .run(&["validate", playbook.to_str().unwrap()])
        .expect(10, &["P042", "secret `signing` would be readable here"]);
}
