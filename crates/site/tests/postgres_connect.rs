//! Connections to a real server of our own.
#![allow(clippy::unwrap_used)]

use switchback_labs::cluster::{Cluster, Durability};
use switchback_site::postgres::{Access, Database};

#[test]
fn a_read_only_session_cannot_write_and_sees_no_unqualified_name() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&folder.path().join("cluster"), Durability::None).unwrap();
    cluster.create("app").unwrap();
    cluster.connect("app").unwrap().batch_execute("CREATE TABLE public.t (a int)").unwrap();
    let database = Database::parse(&cluster.url("app")).unwrap();

    let mut reader = database.connect("test", Access::ReadOnly).unwrap();
    assert!(reader.execute("INSERT INTO public.t VALUES (1)", &[]).is_err());
    assert!(reader.query("SELECT * FROM t", &[]).is_err());
    assert_eq!(reader.query("SELECT * FROM public.t", &[]).unwrap().len(), 0);
}
