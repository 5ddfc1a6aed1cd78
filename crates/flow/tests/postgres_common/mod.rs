//! One server for the tests of a binary, and a short way to write moves.
#![allow(clippy::unwrap_used, dead_code)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use switchback_flow::{
    ColumnMove, CursorKey, End, FlowError, Indexes, Lookup, Miss, Options, Report, TableMove, TableName,
    TableProof, Take,
};
use switchback_labs::cluster::{Cluster, Durability};
use switchback_site::postgres::Database;
use switchback_site::tell::Tell;

pub struct Server {
    pub cluster: Cluster,
    pub folder: tempfile::TempDir,
}

/// The server that the tests of this binary share: gone with the last that holds it.
pub fn server() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = Arc::new(Server::start(Durability::None));
    *shared = Arc::downgrade(&server);
    server
}

/// A database of a test.
#[derive(Clone)]
pub struct Place {
    pub name: String,
    pub end: End,
}

impl Server {
    pub fn start(durability: Durability) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(&folder.path().join("cluster"), durability).unwrap();
        Server { cluster, folder }
    }

    /// Makes a database that no other test knows, and runs `sql` in it.
    pub fn database(&self, sql: &str) -> Place {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("flow{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.cluster.create(&name).unwrap();
        let place = Place { end: End::Postgres(Database::parse(&self.cluster.url(&name)).unwrap()), name };
        self.run(&place, sql);
        place
    }

    pub fn run(&self, place: &Place, sql: &str) {
        self.cluster.connect(&place.name).unwrap().batch_execute(sql).unwrap();
    }

    /// The rows of a query, each as one text.
    pub fn rows(&self, place: &Place, sql: &str) -> Vec<String> {
        let sql = format!("SELECT q::text FROM ({sql}) q");
        let rows = self.cluster.connect(&place.name).unwrap().query(&sql, &[]).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub fn value(&self, place: &Place, sql: &str) -> String {
        let sql = format!("SELECT ({sql})::text");
        let row = self.cluster.connect(&place.name).unwrap().query_one(&sql, &[]).unwrap();
        row.get::<_, Option<String>>(0).unwrap_or_else(|| "NULL".to_owned())
    }
}

pub fn table(name: &str) -> TableName {
    let (schema, table) = name.split_once('.').unwrap();
    TableName { schema: Some(schema.to_owned()), table: table.to_owned() }
}

pub fn column(to: &str, take: Take) -> ColumnMove {
    ColumnMove { to: to.to_owned(), take }
}

/// A move of the columns that are named, separated by spaces.
pub fn job(from: &str, to: &str, columns: &str) -> Job {
    let columns =
        columns.split_whitespace().map(|name| column(name, Take::Column(name.to_owned()))).collect();
    Job(TableMove { from: table(from), to: table(to), columns, lookups: vec![], filter: None })
}

pub struct Job(pub TableMove);

impl Job {
    pub fn take(mut self, to: &str, from: &str) -> Job {
        self.0.columns.push(column(to, Take::Column(from.to_owned())));
        self
    }
    pub fn expr(mut self, to: &str, sql: &str) -> Job {
        self.0.columns.push(column(to, Take::Expression(sql.to_owned())));
        self
    }
    pub fn set(mut self, to: &str, value: Option<&str>) -> Job {
        self.0.columns.push(column(to, Take::Constant(value.map(str::to_owned))));
        self
    }
    pub fn filter(mut self, sql: &str) -> Job {
        self.0.filter = Some(sql.to_owned());
        self
    }
    pub fn look(mut self, to: &str, within: &str, by: Vec<ColumnMove>, take: &str, miss: Miss) -> Job {
        let (to, take) = (to.to_owned(), take.to_owned());
        self.0.lookups.push(Lookup { to, within: table(within), by, take, miss });
        self
    }
}

pub fn jobs(jobs: Vec<Job>) -> Vec<TableMove> {
    jobs.into_iter().map(|job| job.0).collect()
}

pub fn key() -> CursorKey {
    CursorKey { run: "r1".to_owned(), step: "copy-1".to_owned() }
}

pub const TWO: Options = Options { workers: 2, indexes: Indexes::BySize };

pub fn run(moves: &[TableMove], from: &Place, to: &Place) -> Result<Report, FlowError> {
    run_with(moves, from, to, &Tell::quiet())
}

pub fn run_with(moves: &[TableMove], from: &Place, to: &Place, tell: &Tell) -> Result<Report, FlowError> {
    switchback_flow::run(moves, &from.end, &to.end, &key(), TWO, tell)
}

pub fn prove(moves: &[TableMove], from: &Place, to: &Place) -> Vec<TableProof> {
    switchback_flow::prove(moves, &from.end, &to.end, TWO, &Tell::quiet()).unwrap()
}

pub fn check(moves: &[TableMove], from: &Place, to: &Place) -> Result<(), FlowError> {
    switchback_flow::check(moves, &from.end, &to.end, &Tell::quiet())
}

#[track_caller]
pub fn assert_proven(moves: &[TableMove], from: &Place, to: &Place) {
    for proof in prove(moves, from, to) {
        assert!(proof.equal, "{proof:?}");
    }
}

pub fn differing(name: &str, moves: &[TableMove], from: &Place, to: &Place) -> Vec<String> {
    let found =
        switchback_flow::differing(&table(name), moves, &from.end, &to.end, 20, &Tell::quiet()).unwrap();
    found.iter().map(ToString::to_string).collect()
}
