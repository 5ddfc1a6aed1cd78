//! Ports for what runs in a rehearsal.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below what Linux hands out to those that ask for any port (32768 and more), since a service that is stopped for a moment has
/// to find its own free again; and below what Kubernetes forwards without anybody listening there (30000 to 32767).
const FIRST: u32 = 28_000;
const COUNT: u32 = 1_900;

/// Returns whether nobody listens on a port of the loopback address.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        // Somebody may listen on every address, and not on this one alone.
        && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

/// Returns a port that nobody listens on, that is none of `taken`, and that this process has not been given before.
pub fn free(taken: &BTreeSet<u16>) -> io::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that look at the same moment begin at places far from each other.
    let offset = std::process::id().wrapping_mul(7919);
    let found = (0..COUNT).find_map(|_| {
        let number = offset.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + number).ok()?;
        (!taken.contains(&port) && is_free(port)).then_some(port)
    });
    found.ok_or_else(|| io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_never_one_that_is_taken() {
        let first = free(&BTreeSet::new()).unwrap();
        let second = free(&BTreeSet::new()).unwrap();
        assert_ne!(first, second);
        let listener = TcpListener::bind(("127.0.0.1", second)).unwrap();
        assert!(!is_free(second) && is_free(first));
        drop(listener);
        let all = (28_000..29_900).filter(|port| *port != first).collect();
        assert_eq!(free(&all).unwrap(), first);
    }
}
