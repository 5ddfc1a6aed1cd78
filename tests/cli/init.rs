//! `init`

use crate::support::Place;

#[test]
fn init_explains_every_input() {
    insta::assert_snapshot!(Place::empty().run(&["init", "duplistatus"]).text(), @r#"
    $ switchback init duplistatus
    # One installation of duplistatus. Keep this file under version control; `switchback plan` reads it.
    playbook: duplistatus
    inputs:

      # the file backups.db in the data folder
      # (file, required)
      database: /srv/duplistatus/data/backups.db

      # how it is stopped and started; `none`: a person does it when asked, and a probe waits
      # (service, required)
      service: none
      # or, with commands (status: exit code 0 runs, 1 or 3 is stopped):
      # service:
      #   command:
      #     stop: [docker, compose, -f, /srv/app/compose.yaml, down]
      #     start: [docker, compose, -f, /srv/app/compose.new.yaml, up, -d]
      #     start_old: [docker, compose, -f, /srv/app/compose.yaml, up, -d]
      #     status: [sh, -c, 'test -n "$(docker compose -f /srv/app/compose.yaml ps -q)"']
      #     rehearse: {argv: [/opt/app-new/bin/app, --config, /srv/app/app.yml]}   # the new program with its config, for a rehearsal
      # or, as a program that switchback starts and stops itself:
      # service:
      #   process:
      #     old: {argv: [/opt/app-old/bin/app], env: {PORT: "8080"}}
      #     new: {argv: [/opt/app-new/bin/app], env: {PORT: "8080"}}

      # where the service answers
      # (url, default http://localhost:9666)
      # url: "http://localhost:9666"

      # the exact release that the service will start, such as v0.7.27; never `latest`
      # (text, required)
      release: v0.7.27
    --- exit 0
    "#);
}

#[test]
fn what_init_writes_is_a_site_file() {
    let place = Place::empty();
    place.write("site.yaml", &place.run(&["init", "duplistatus"]).stdout);
    // It is read without a complaint; what it names is not there, and that is what the refusal is about.
    let shown = place.run(&["detect"]);
    assert_eq!(shown.exit, Some(11), "{}", shown.text());
    assert!(shown.stderr.contains("/srv/duplistatus/data/backups.db"), "{}", shown.text());
}
