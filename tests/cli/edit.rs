//! `edit`: what an author and an operator see of it.

use crate::support::Place;

const PLAYBOOK: &str = r#"playbook: notes
format: 1
title: a notebook

inputs:
  env: {type: file}
  config: {type: file}
  schema: {type: text}

targets:
  env: {file: "${env}"}
  config: {file: "${config}"}

version:
  detect:
    - {file: env, at: VERSION, format: env, means: {"1": "1.0", "2": "2.0"}}

upgrades:
  - from: "1.0"
    to: "2.0"
    prepare:
      - require: {file: env, at: SECRET_KEY, format: env, same_as: {file: config, at: web.key, format: yaml}}
    change:
      - edit:
          file: env
          format: env
          rename: {DB: DB_NAME}
          set: {DB_SCHEMA: "${schema}", API_TOKEN: new, VERSION: 2}
          delete: [OLD_URL]
      - edit:
          file: config
          format: yaml
          set: {web.debug: true, 'hosts.a\.example': "${schema}"}
          delete: [web.etcd]
    prove:
      - ensure: {file: env, at: DB_SCHEMA, format: env, is: [shared, other]}
      - ensure: {file: config, at: web.etcd, format: yaml, none: true}
"#;

const ENV: &str = "# the notebook\nVERSION='1'   # do not touch\nDB=notes\nOLD_URL=http://me:pw@host\nAPI_TOKEN=old\nSECRET_KEY=k\nURL=db/$DB";
const CONFIG: &str = "web: # one\n  debug: \"no\"\n  etcd: {a: 1}\n  key: k\nhosts: {}\n";

fn place() -> Place {
    let place = Place::empty();
    place.write("playbook.yaml", PLAYBOOK).write(".env", ENV).write("config.yaml", CONFIG);
    place.write(
        "site.yaml",
        "playbook: ./playbook.yaml\ninputs:\n  env: .env\n  config: config.yaml\n  schema: shared\n",
    );
    place
}

fn mistake(from: &str, to: &str) -> String {
    let place = place();
    place.change("playbook.yaml", from, to);
    place.run(&["validate", "playbook.yaml"]).text()
}

#[test]
fn a_plan_shows_what_changes_and_no_secret() {
    insta::assert_snapshot!(place().run(&["plan"]).text(), @r#"
    $ switchback plan
    notes 1.0 → 2.0

      changes   config: DIR/config.yaml is changed
                env: DIR/.env is changed
      is lost   nothing
      downtime  about SPAN, in part guessed: `switchback rehearse` measures it
      disk      SIZE of SIZE free in DIR/.switchback (backups SIZE)
      way back  by itself if anything fails before writers are let in; then by
                `switchback rollback` until `switchback finalize`, listing what it would lose

      prepare
        require-env    require that `SECRET_KEY` in env equals `web.key` in config
      change
        edit-env       rename `DB`, set `DB_SCHEMA`, `API_TOKEN`, `VERSION`, delete `OLD_URL` in env
            `OLD_URL` leaves this file: what still needs its value must have it elsewhere
            line 6 still refers to `DB`
              # the notebook
            - VERSION='1'   # do not touch
            - DB=notes
            - OLD_URL=http://me:…@host
            - API_TOKEN=…
            + VERSION='2'   # do not touch
            + DB_NAME=notes
            + API_TOKEN=…
              SECRET_KEY=…
              URL=db/$DB
            … and 1 more lines
        edit-config    set `web.debug`, `hosts.a\.example`, delete `web.etcd` in config
            `web.etcd` leaves this file: what still needs its value must have it elsewhere
              web: # one
            -   debug: "no"
            -   etcd: {a: 1}
            +   debug: true
                key: …
            - hosts: {}
            + hosts: {a.example: shared}
      prove
        ensure-env     ensure that `DB_SCHEMA` in env is "shared" or "other"
        ensure-config  ensure that `web.etcd` in config finds nothing

    plan DIGEST
    --- stderr
    written to DIR/.switchback/plan.json
    --- exit 0
    "#);
}

#[test]
fn files_are_edited_and_put_back() {
    let place = place();
    let done = place.run(&["apply", "--yes"]);
    assert_eq!(done.exit, Some(0), "{}", done.text());
    assert_eq!(
        place.read(".env"),
        "# the notebook\nVERSION='2'   # do not touch\nDB_NAME=notes\nAPI_TOKEN=new\nSECRET_KEY=k\nURL=db/$DB\nDB_SCHEMA=shared"
    );
    assert_eq!(
        place.read("config.yaml"),
        "web: # one\n  debug: true\n  key: k\nhosts: {a.example: shared}\n"
    );
    let back = place.run(&["rollback", "--yes"]);
    assert_eq!(back.exit, Some(0), "{}", back.text());
    assert_eq!((place.read(".env").as_str(), place.read("config.yaml").as_str()), (ENV, CONFIG));
}

#[test]
fn what_a_person_changed_since_the_plan_is_refused() {
    let place = place();
    assert_eq!(place.run(&["plan", "--out", "plan.json"]).exit, Some(0));
    place.change("config.yaml", "key: k", "key: k # mine");
    let text = place.run(&["apply", "--yes", "--plan", "plan.json"]).text();
    assert!(text.contains("shape of config") && text.contains("--- exit 11"), "{text}");
}

#[test]
fn a_secret_that_differs_is_not_shown() {
    let place = place();
    place.change("config.yaml", "key: k", "key: hush");
    insta::assert_snapshot!(place.run(&["apply", "--yes"]).text(), @r#"
    $ switchback apply --yes
    --- stderr
    error[R004]: `SECRET_KEY` in env equals `web.key` in config: …
      --> DIR/./playbook.yaml:22
      one says …, the other …

    nothing was changed
    --- exit 11
    "#);
}

#[test]
fn a_file_that_cannot_be_edited_surely_is_refused_by_the_plan() {
    let place = place();
    place.change(".env", "API_TOKEN=old", "API_TOKEN=old\nAPI_TOKEN=older");
    place.change("config.yaml", "web: # one", "all: *web\nweb: &web # one");
    insta::assert_snapshot!(place.run(&["plan"]).text(), @r#"
    $ switchback plan
    --- stderr
    error[R001]: cannot tell whether `SECRET_KEY` in env equals `web.key` in config: look into config: read it as YAML: line 1: while parsing node, found unknown anchor
      --> DIR/./playbook.yaml:22

    error[R001]: cannot edit DIR/.env: tell which `API_TOKEN` counts: it stands in line 5 and in line 6
      --> DIR/./playbook.yaml:24
    help: remove the one that does not count, then plan again

    error[R001]: cannot edit DIR/config.yaml: read it as YAML: line 1: while parsing node, found unknown anchor
      --> DIR/./playbook.yaml:30
    help: mend that line, then plan again

    nothing was changed
    --- exit 11
    "#);
}

#[test]
fn an_unknown_format_says_which_there_are() {
    insta::assert_snapshot!(mistake("format: env\n", "format: envv\n"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P008]: `envv` is not possible here
      --> ./playbook.yaml:26:19
       |
    26 |           format: envv
       |                   ^^^^
    help: did you mean `env`? possible are: env, yaml
    --- exit 10
    "#);
}

#[test]
fn a_name_that_does_not_say_the_format_asks_for_it() {
    insta::assert_snapshot!(mistake("          format: env\n", ""), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P006]: the name of file `env` does not say its format
      --> ./playbook.yaml:25:17
       |
    25 |           file: env
       |                 ^^^ which format has it?
    help: add `format:`; possible are: env, yaml
    --- exit 10
    "#);
}

#[test]
fn a_key_that_is_set_and_deleted_at_once_is_shown_twice() {
    insta::assert_snapshot!(mistake("[OLD_URL]", "[VERSION]"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P013]: key `VERSION` is changed twice in one step
      --> ./playbook.yaml:29:20
       |
    28 |           set: {DB_SCHEMA: "${schema}", API_TOKEN: new, VERSION: 2}
       |                                                         ------- and here
    29 |           delete: [VERSION]
       |                    ^^^^^^^ changed here
    help: leave one of the two, or make two steps of it
    --- exit 10
    "#);
}

#[test]
fn a_key_inside_another_is_shown() {
    insta::assert_snapshot!(mistake("[web.etcd]", "[web]"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P013]: keys `web.debug` and `web` are one inside the other
      --> ./playbook.yaml:34:20
       |
    33 |           set: {web.debug: true, 'hosts.a\.example': "${schema}"}
       |                 --------- and here
    34 |           delete: [web]
       |                    ^^^ changed here
    help: leave one of the two, or make two steps of it
    --- exit 10
    "#);
}

#[test]
fn a_key_that_can_be_none_is_shown() {
    insta::assert_snapshot!(mistake("[web.etcd]", "[web..etcd]"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P008]: cannot take `web..etcd` for a key: between two dots there is no name
      --> ./playbook.yaml:34:20
       |
    34 |           delete: [web..etcd]
       |                    ^^^^^^^^^
    help: keys inside one another have a dot between, and `\.` is a dot in a name
    --- exit 10
    "#);
}

#[test]
fn a_list_is_no_variable() {
    insta::assert_snapshot!(mistake("API_TOKEN: new", "API_TOKEN: [a, b]"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P007]: the value of `API_TOKEN` is a list
      --> ./playbook.yaml:28:52
       |
    28 |           set: {DB_SCHEMA: "${schema}", API_TOKEN: [a, b], VERSION: 2}
       |                                                    ^^^^^^ a variable is one text
    help: write a text; `""` is the empty one
    --- exit 10
    "#);
}
