//! The real pgbouncer in front of a server, started by a test and gone with it.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use switchback_site::postgres::Database;

pub struct Pgbouncer {
    child: Child,
    port: u16,
}

impl Pgbouncer {
    /// Starts one in `folder` in front of the server on `port`; `mode` is `session`, `transaction` or `statement`. It refuses
    /// to run as root, so it runs as whoever owns the server's folder.
    pub fn start(folder: &Path, server: &Path, port: u16, mode: &str) -> Pgbouncer {
        let own = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let owner = server.metadata().unwrap();
        fs::create_dir_all(folder).unwrap();
        let (config, users, log) = (folder.join("pgbouncer.ini"), folder.join("users"), folder.join("log"));
        fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        fs::write(
            &config,
            format!(
                "[databases]\n* = host=127.0.0.1 port={port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own}\n\
                 unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\n",
                users.display()
            ),
        )
        .unwrap();
        for path in [folder, &config, &users] {
            chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let said = fs::File::create(&log).unwrap();
        let mut command = Command::new(if Path::new("/usr/sbin/pgbouncer").exists() {
            "/usr/sbin/pgbouncer"
        } else {
            "pgbouncer"
        });
        command.arg(&config).stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        command.current_dir("/").uid(owner.uid()).gid(owner.gid());
        let child = command.spawn().expect("pgbouncer is needed (Debian: pgbouncer)");
        let pooler = Pgbouncer { child, port: own };
        let clock = Instant::now();
        while TcpStream::connect(("127.0.0.1", own)).is_err() {
            assert!(clock.elapsed() < Duration::from_secs(20), "{}", fs::read_to_string(&log).unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
        pooler
    }

    /// The way to a database through it.
    pub fn to(&self, dbname: &str) -> Database {
        Database::parse(&format!(
            "host=127.0.0.1 port={} user=postgres dbname='{dbname}' sslmode=disable",
            self.port
        ))
        .unwrap()
    }
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
