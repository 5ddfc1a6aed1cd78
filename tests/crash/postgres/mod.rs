//! The same of an upgrade of PostgreSQL databases: our process is killed, and the server is.

mod cuts;
mod faults;
mod kill_moments;
mod kill_points;
mod lies;
mod server_kills;
mod shops;
