//! The operator's user is no superuser and may not make databases, as on managed servers: what it lacks is said when the plan
//! is made, and what is said is enough.

use super::Installation;
use crate::support::BINARY;
use std::path::Path;
use switchback_labs::unstract::write_site;

const OTHERS: &str = include_str!("../../../playbooks/unstract/other_sessions.sql");

#[test]
fn a_user_of_a_managed_server_is_told_what_to_grant_and_needs_no_more() {
    let site = Installation::small();
    let before = site.dump();
    let superuser = site.server.cluster.url(&site.database);
    let url = |user: &str| superuser.replace("postgres://postgres@", &format!("postgres://{user}@"));
    site.sql("CREATE ROLE guest LOGIN; CREATE ROLE worker LOGIN");
    write_site(site.folder.path(), &url("guest"), None, Path::new(BINARY)).unwrap();
    let files = site.files();
    site.plan().expect(11, &["permission denied", "GRANT pg_read_all_data TO guest", "nothing was changed"]);
    site.sql("GRANT pg_read_all_data TO guest");
    let ledger =
        "guest may not make a schema in v2, which the ledger of a run needs: GRANT CREATE ON DATABASE";
    site.plan().expect(11, &["D011", ledger, "nothing was changed"]);
    site.sql(&format!("GRANT CREATE ON DATABASE {} TO guest", site.database));
    site.plan().expect(0, &[]);

    // Sessions of others are seen, though not what they do.
    let mut worker = postgres::Client::connect(&url("worker"), postgres::NoTls).unwrap();
    let mut guest = postgres::Client::connect(&url("guest"), postgres::NoTls).unwrap();
    let users: Vec<String> = guest.query(OTHERS, &[]).unwrap().iter().map(|row| row.get("user")).collect();
    assert!(users.contains(&"worker".to_owned()), "{users:?}");
    worker.batch_execute("SELECT 1").unwrap();
    drop((worker, guest));

    // Copies for a rehearsal would be databases of their own.
    let said = site.run(&["rehearse"]).said();
    assert!(said.contains("the user guest may not create databases; grant it CREATEDB"), "{said}");
    site.apply().expect(0, &["upgraded", "rows equal in 42 tables"]);
    assert_eq!(site.differences(), [""; 0]);
    site.run(&["rollback", "--yes", "--losing-writes"]).expect(0, &[]);
    assert_eq!(site.files(), files);
    site.sql(&format!("REVOKE CREATE ON DATABASE {} FROM guest; DROP ROLE worker", site.database));
    assert_eq!(site.dump(), before);
}
