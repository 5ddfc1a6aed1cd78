//! Mistakes that an operator makes in a site file or on the command line: each says where, what, why, and what to do.

use crate::support::{Place, YES};

#[test]
fn no_site_file() {
    insta::assert_snapshot!(Place::empty().run(&["plan"]).text(), @r#"
    $ switchback plan
    --- stderr
    error[U003]: cannot read the site file site.yaml: there is no such file or folder
    help: write one with `switchback init APP > site.yaml`, or name it with `--site FILE`
    --- exit 2
    "#);
}

#[test]
fn a_misspelt_playbook_suggests_the_nearest() {
    let place = Place::lab();
    place.change("site.yaml", "playbook: duplistatus", "playbook: duplistatos");
    insta::assert_snapshot!(place.run(&["plan"]).text(), @r#"
    $ switchback plan
    --- stderr
    error[U002]: no shipped playbook is called `duplistatos`, and DIR/duplistatos cannot be read: there is no such file or folder
      --> site.yaml:1
    help: did you mean `duplistatus`?
    --- exit 2
    "#);
}

#[test]
fn a_missing_input_and_an_unknown_one_are_said_together() {
    let place = Place::lab();
    place.change("site.yaml", "  database:", "  databse:");
    insta::assert_snapshot!(place.run(&["plan"]).text(), @r#"
    $ switchback plan
    --- stderr
    error[S001]: input `database` is missing
     --> site.yaml:1:11
      |
    1 | playbook: duplistatus
      |           ^^^^^^^^^^^ asks for `database`
    help: add `database:` below `inputs:` in the site file, or give `--set database=VALUE`; the file backups.db in the data folder

    error[S003]: the playbook has no input `databse`
     --> site.yaml:3:3
      |
    3 |   databse: "DIR/data/backups.db"
      |   ^^^^^^^ given here
    help: did you mean `database`?
    --- exit 2
    "#);
}

#[test]
fn an_unknown_input_on_the_command_line() {
    insta::assert_snapshot!(Place::lab().run(&["plan", "--set", "databases=x"]).text(), @r#"
    $ switchback plan --set databases=x
    --- stderr
    error[S003]: the playbook has no input `databases`
    note: it was set on the command line
    help: did you mean `database`?
    --- exit 2
    "#);
}

#[test]
fn set_without_a_value() {
    insta::assert_snapshot!(Place::lab().run(&["plan", "--set", "database"]).text(), @r#"
    $ switchback plan --set database
    --- stderr
    error: invalid value 'database' for '--set <INPUT=VALUE>': write it as INPUT=VALUE

    For more information, try '--help'.
    --- exit 2
    "#);
}

#[test]
fn a_url_without_its_scheme() {
    insta::assert_snapshot!(Place::lab().run(&["plan", "--set", "url=localhost:9666"]).text(), @r#"
    $ switchback plan --set url=localhost:9666
    --- stderr
    error[S002]: input `url` must begin with http:// or https://
    note: it was set on the command line
    help: write it as in `http://localhost:9666`: where the service answers
    --- exit 2
    "#);
}

#[test]
fn a_release_that_is_not_pinned() {
    insta::assert_snapshot!(Place::lab().run(&["plan", "--set", "release=latest"]).text(), @r"
    $ switchback plan --set release=latest
    --- stderr
    error[R004]: the release is not pinned to 0.7.x
      --> duplistatus/playbook.yaml:72
      `latest` matches `^v?0\.7\.\d+$` (seen: latest)
    help: name the exact tag that the service will start, such as v0.7.27: 0.8 and later reset notification settings, and `latest` is one of them

    nothing was changed
    --- exit 11
    ");
}

#[test]
fn a_database_that_is_not_there() {
    insta::assert_snapshot!(Place::lab().run(&["plan", "--set", "database=nowhere.db"]).text(), @"
    $ switchback plan --set database=nowhere.db
    --- stderr
    error[D001]: cannot tell the installed release: open DIR/nowhere.db: there is no such file; check the path in site.yaml
      the schema version in db_version: no answer
      the tables of its entities: no answer
    help: the inputs of the site file say where it is asked: name the right place, or mend what stands in the way

    nothing was changed
    --- exit 11
    ");
}

#[test]
fn a_database_that_is_a_folder() {
    insta::assert_snapshot!(Place::lab().run(&["plan", "--set", "database=data"]).text(), @"
    $ switchback plan --set database=data
    --- stderr
    error[D001]: cannot tell the installed release: open DIR/data: it is a folder; name the database file in it
      the schema version in db_version: no answer
      the tables of its entities: no answer
    help: the inputs of the site file say where it is asked: name the right place, or mend what stands in the way

    nothing was changed
    --- exit 11
    ");
}

#[test]
fn a_database_that_is_something_else() {
    let place = Place::lab();
    place.write("notes.txt", "This is a text, and no database at all.\n");
    insta::assert_snapshot!(place.run(&["plan", "--set", "database=notes.txt"]).text(), @"
    $ switchback plan --set database=notes.txt
    --- stderr
    error[D001]: cannot tell the installed release: open DIR/notes.txt: it is not a SQLite database, or it is encrypted; check the path in site.yaml
      the schema version in db_version: no answer
      the tables of its entities: no answer
    help: the inputs of the site file say where it is asked: name the right place, or mend what stands in the way

    nothing was changed
    --- exit 11
    ");
}

#[test]
fn a_database_that_is_empty() {
    let place = Place::lab();
    place.write("empty.db", "");
    insta::assert_snapshot!(place.run(&["plan", "--set", "database=empty.db"]).text(), @"
    $ switchback plan --set database=empty.db
    --- stderr
    error[D001]: cannot tell the installed release: open DIR/empty.db: the file is empty; start the application once, or put back its data
      the schema version in db_version: no answer
      the tables of its entities: no answer
    help: the inputs of the site file say where it is asked: name the right place, or mend what stands in the way

    nothing was changed
    --- exit 11
    ");
}

#[test]
fn a_release_that_nothing_leads_to() {
    insta::assert_snapshot!(Place::lab().run(&["plan", "--to", "0.9"]).text(), @r#"
    $ switchback plan --to 0.9
    --- stderr
    error[D003]: cannot get from 0.6 to 0.9: no chain of upgrades leads there
    help: known upgrades: 0.6 → 0.7; without `--to` the newest release is taken

    nothing was changed
    --- exit 11
    "#);
    insta::assert_snapshot!(Place::lab().run(&["plan", "--to", "0.5"]).text(), @r#"
    $ switchback plan --to 0.5
    --- stderr
    error[D003]: cannot go back from 0.6 to 0.5: an upgrade leads forward
    help: `switchback rollback` takes a run back; for what came before it, restore a backup

    nothing was changed
    --- exit 11
    "#);
    insta::assert_snapshot!(Place::lab().run(&["plan", "--to", "newest"]).text(), @r#"
    $ switchback plan --to newest
    --- stderr
    error[U001]: cannot read `newest` as a version: it begins with a number, such as 1.10 or v0.7.27
    help: give `--to` a release such as 0.7; without it the newest that the playbook leads to is taken
    --- exit 2
    "#);
}

#[test]
fn a_state_folder_that_cannot_be_made() {
    insta::assert_snapshot!(Place::lab().run(&["plan", "--state", "site.yaml/state"]).text(), @r#"
    $ switchback plan --state site.yaml/state
    --- stderr
    error[S010]: cannot make the state folder DIR/site.yaml/state: a part of the path is a file, not a folder
    help: name a folder that you can write to, with `--state DIR`

    nothing was changed
    --- exit 11
    "#);
}

#[test]
fn a_plan_to_a_folder_that_is_not_there() {
    insta::assert_snapshot!(Place::lab().run(&["plan", "--out", "plans/night.json"]).text(), @r#"
    $ switchback plan --out plans/night.json
    --- stderr
    error[S010]: cannot write plans/night.json: there is no such file or folder
    help: name a file in a folder that you can write to, with `--out FILE`
    --- exit 11
    "#);
}

#[test]
fn a_verb_that_does_not_exist() {
    insta::assert_snapshot!(Place::empty().run(&["upgrade"]).text(), @r#"
    $ switchback upgrade
    --- stderr
    error: unrecognized subcommand 'upgrade'

    Usage: switchback [OPTIONS] <COMMAND>

    For more information, try '--help'.
    --- exit 2
    "#);
}

#[test]
fn refusals_as_json_carry_code_help_and_exit() {
    let shown = Place::lab().run(&["apply", "--json", "--yes"]);
    insta::assert_snapshot!(shown.text(), @r#"
    $ switchback apply --json --yes
    {"errors":[{"code":"A001","message":"this upgrade gives something up, and nobody has accepted it","details":[],"help":"read what it is in the plan, then add --accept unresolved-notices --accept unresolved-settings","place":null}],"exit":11,"state":"nothing was changed"}
    --- exit 11
    "#);
    assert_eq!(shown.json()["exit"], 11);
    assert_eq!(
        Place::lab().run(&[&YES[..], &["--set", "release=latest", "--json"]].concat()).json()["exit"],
        11
    );
}
