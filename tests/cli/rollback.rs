//! `rollback`

use crate::support::{Place, YES};

#[test]
fn rollback_takes_an_upgrade_back_step_by_step() {
    let place = Place::upgraded();
    insta::assert_snapshot!(place.run(&["rollback", "--yes"]).text(), @r#"
    $ switchback rollback --yes
    --- stderr
    taken up by operator@HOST
    going back, as asked
      undone: start app in its new release (SPAN)
      undone: take our rows out of db and give it back (SPAN)
      undone: alter machines, backups in db (SPAN)
      undone: rename {machine_name} to {server_name} in notification templates (SPAN)
      undone: move settings and overdue notices from machine names to server ids (SPAN)
      undone: back db up and prove the backup (SPAN)
      undone: try out a backup of db while it runs (SPAN)
    rolled back: as before
    the site is as it was before the run
    --- exit 0
    "#);
    assert_eq!(place.run(&["detect", "--json"]).json()["installed"], "0.6");
}

#[test]
fn rollback_takes_a_killed_run_back_without_asking() {
    let place = Place::lab();
    let killed = place.run_with(&YES, &[("SWITCHBACK_FAULT", "kill@60")]);
    assert_eq!(killed.exit, None, "{}", killed.text());
    let shown = place.run(&["rollback"]);
    assert_eq!(shown.exit, Some(0), "{}", shown.text());
    assert_eq!(place.run(&["status", "--json"]).json()["standing"], "rolled back");
}

#[test]
fn rollback_of_a_rolled_back_run_has_nothing_to_do() {
    let place = Place::upgraded();
    assert_eq!(place.run(&["rollback", "--yes"]).exit, Some(0));
    insta::assert_snapshot!(place.run(&["rollback", "--yes"]).text(), @r#"
    $ switchback rollback --yes
    --- stderr
    nothing to do: the run is rolled back already
    --- exit 0
    "#);
}

#[test]
fn an_older_run_is_meant_by_its_name() {
    let place = Place::upgraded();
    assert_eq!(place.run(&["rollback", "--yes"]).exit, Some(0));
    assert_eq!(place.run(&YES).exit, Some(0));
    let runs = || {
        let folder = std::fs::read_dir(place.path().join(".switchback/runs")).unwrap();
        let mut names: Vec<_> = folder.map(|run| run.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let backups = |run: &str| place.path().join(".switchback/runs").join(run).join("backup").exists();
    let [old, new] = runs().try_into().unwrap();
    let standing =
        |args: &[&str]| place.run(&[&["status", "--json"], args].concat()).json()["standing"].clone();
    assert_eq!((standing(&[]), standing(&["--run", &old])), ("upgraded".into(), "rolled back".into()));
    insta::assert_snapshot!(place.run(&["rollback", "--yes", "--run", &old]).text(), @r#"
    $ switchback rollback --yes --run RUN
    --- stderr
    nothing to do: the run is rolled back already
    --- exit 0
    "#);
    assert_eq!(place.run(&["finalize", "--yes", "--run", &old]).exit, Some(0));
    assert_eq!((backups(&old), backups(&new)), (false, true));
    for name in ["none", "..", ".", "../runs", ""] {
        for verb in ["rollback", "finalize", "status", "report"] {
            let shown = place.run(&[verb, "--run", name]);
            assert_eq!(shown.exit, Some(2), "{}", shown.text());
            assert!(shown.stderr.contains("error[R045]: there is no run"), "{}", shown.text());
        }
    }
    assert_eq!(place.run(&["rollback", "--yes", "--run", &new]).exit, Some(0));
    assert_eq!(standing(&[]), "rolled back");
}

#[test]
fn rollback_as_json_prints_the_journal() {
    let lines = Place::upgraded().run(&["rollback", "--yes", "--json"]).json_lines();
    assert_eq!(lines.last().unwrap()["outcome"], "rolled-back");
}
