//! Schemas of many tenants in a private PostgreSQL cluster, which the demo starts and stops.

use super::{Wanted, cannot, cannot_build, faults, open_service, walk_through};
use crate::complaint::{Complaint, exit};
use crate::context::driver;
use crate::output::Output;
use std::time::Duration;
use switchback_labs::cluster::{Cluster, Durability};
use switchback_labs::unstract::{Fault, Size, build, services, write_site};
use switchback_site::Tell;
use switchback_site::service::Which;

pub const APP: &str = "unstract";

/// Its one database.
const DATABASE: &str = "unstract_db";

pub fn run(wanted: Wanted<'_>, output: &Output) -> Result<u8, Complaint> {
    let faults = faults(wanted.faults, Fault::named)?;
    let folder = wanted.folder;
    let cluster = Cluster::start(&folder.join("cluster"), Durability::Full).map_err(|error| {
        Complaint::new(exit::USAGE, "U013", format!("cannot start a private PostgreSQL server: {error}"))
            .help("install PostgreSQL (Debian: the package postgresql); `switchback demo` needs none")
    })?;
    cluster.create(DATABASE).map_err(|e| cannot_build(&e))?;
    let url = cluster.url(DATABASE);
    let lab = build(&url, &Size::SMALL).map_err(|e| cannot_build(&e))?;
    let mut client = cluster.connect(DATABASE).map_err(|e| cannot_build(&e))?;
    for fault in faults {
        fault.plant(&mut client, &lab.tenants, "unstract").map_err(|e| cannot_build(&e))?;
    }
    // Whoever has a session when the writers are out is refused.
    drop(client);
    let program = driver().program;
    let site = write_site(&folder, &url, None, &program).map_err(|e| Complaint::io("write", &folder, &e))?;
    output.say(&format!(
        "an installation of unstract 0.92 with {} tenants and {} rows: {}",
        lab.tenants.len(),
        lab.rows,
        folder.display()
    ));
    let afterwards = format!(
        "the demo's service and its PostgreSQL server are stopped; to start that again, as the user that owns {}:\n  {}",
        cluster.folder().display(),
        cluster.command_line()
    );
    if wanted.build_only {
        output.say(&format!("\n{afterwards}"));
        return Ok(exit::DONE);
    }
    let (service, tell) = (open_service(&folder, "app", &services(&folder, &program))?, Tell::quiet());
    // As an operator's supervisor would have started it, by the same means that the upgrade will use.
    service.start(Which::Old, &tell).map_err(|e| cannot(&e))?;
    wait_for(&cluster);
    output.say(&format!("its old release has a session in {url}\n"));
    let code =
        walk_through(&site, &["adapters-of-non-members", "tables-left-behind", "encryption-key"], output);
    service.stop(&tell).map_err(|e| cannot(&e))?;
    output.say(&format!(
        "\nlook around: switchback report --site {0}\ngo back:     switchback rollback --yes --site {0}   (needs the server)\n{afterwards}",
        site.display(),
    ));
    code
}

/// Waits for the session of the old release, for a few seconds; that it does not come is found by what follows.
fn wait_for(cluster: &Cluster) {
    for _ in 0..100 {
        let sessions = cluster.connect("postgres").and_then(|mut client| {
            client.query_one("SELECT count(*) FROM pg_stat_activity WHERE datname = $1", &[&DATABASE])
        });
        if sessions.is_ok_and(|row| row.get::<_, i64>(0) > 0) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
