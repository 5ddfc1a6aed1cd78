//! Help: of the program, and of each verb.

use crate::support::Place;

/// Every verb that a person types.
const VERBS: [&str; 16] = [
    "list", "init", "detect", "plan", "rehearse", "apply", "resume", "rollback", "finalize", "status",
    "report", "validate", "lint", "explain", "schema", "demo",
];

#[test]
fn help_of_the_program_teaches_the_way_and_the_exit_codes() {
    insta::assert_snapshot!(Place::empty().run(&["--help"]).text(), @r#"
    $ switchback --help
    Upgrades self-hosted software by a playbook: planned, rehearsed on a copy, carried out with a
    journal, proven row by row, and reversible until writers are let back in

    Usage: switchback [OPTIONS] <COMMAND>

    Commands:
      list      Lists the shipped playbooks: from which versions to which
      init      Writes a commented site file that explains every input
      detect    Finds the installed version, with the evidence for it
      plan      Shows path, steps, diffs, losses, downtime and disk needed; changes nothing
      rehearse  Carries the plan out on scratch copies
      apply     Carries the plan out
      resume    Takes an open run up where its journal ends
      rollback  Takes the last run back: the site is as before
      finalize  Drops what was kept for the way back
      status    Says where the last run stands; exits with 30 while it is open
      report    Writes a report of the last run
      validate  Checks a playbook: everything that is wrong, at once
      lint      Finds traps in a playbook that is valid
      explain   Renders a playbook as a migration guide
      schema    Prints the JSON Schemas of playbooks and site files
      demo      Builds an old installation in a scratch folder and upgrades it

    Options:
          --site <FILE>        The site file [default: site.yaml]
          --state <DIR>        Where runs, backups and plans lie [default: .switchback beside the site
                               file]
          --set <INPUT=VALUE>  Gives an input a value, over the site file's
          --json               Writes JSON to standard output instead of text
      -v, --verbose            Says more
          --no-color           Never uses colour [env: NO_COLOR=]
      -h, --help               Print help
      -V, --version            Print version

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
      12 another run holds the lock
    --- exit 0
    "#);
}

#[test]
fn help_of_apply_explains_consents() {
    insta::assert_snapshot!(Place::empty().run(&["apply", "--help"]).text(), @r#"
    $ switchback apply --help
    Carries the plan out

    Usage: switchback apply [OPTIONS]

    Options:
          --plan <FILE>
              The plan [default: the one that `plan` left, else a new one]

          --site <FILE>
              The site file
              
              [default: site.yaml]

          --state <DIR>
              Where runs, backups and plans lie [default: .switchback beside the site file]

          --yes
              Does not ask; accepts no loss, no risk and no step without a way back

          --accept <NAME>
              Accepts a loss, a risk or a step without a way back, by its name

          --set <INPUT=VALUE>
              Gives an input a value, over the site file's

          --json
              Writes JSON to standard output instead of text

          --on-interrupt <ON_INTERRUPT>
              What a signal does before the commit point

              Possible values:
              - stop:     The run stops and can be resumed
              - rollback: The run goes back
              
              [default: stop]

      -v, --verbose
              Says more

          --no-color
              Never uses colour
              
              [env: NO_COLOR=]

      -h, --help
              Print help (see a summary with '-h')

    Before anything is touched, the site is looked at again; one that is not the one of the plan is
    refused.
    A failure before writers are let in takes the run back by itself, and the exit code is 20.

    What a plan gives up has to be accepted by name, each one:
      switchback apply --accept old-drafts --accept old-notices
    --- exit 0
    "#);
}

#[test]
fn every_verb_is_listed_and_has_help_of_its_own() {
    let place = Place::empty();
    let program = place.run(&["--help"]).stdout;
    for verb in VERBS {
        assert!(program.lines().any(|line| line.trim_start().starts_with(&format!("{verb} "))), "{verb}");
        let help = place.run(&[verb, "--help"]);
        assert_eq!(help.exit, Some(0), "{verb}");
        assert!(help.stdout.contains(&format!("Usage: switchback {verb}")), "{}", help.text());
    }
}
