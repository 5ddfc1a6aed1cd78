//! A stand-in for a connection pooler in transaction mode: a session of the server for as long as a transaction.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Which free session of the server the next transaction gets.
#[derive(Clone, Copy)]
pub enum Order {
    First,
    Round,
    /// Sessions stay with their clients, as in session mode.
    Own,
}

/// Starts one in front of a server on `port` and returns its own port. It ends with the process.
pub fn start(port: u16, dbname: &'static str, order: Order) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let pool: Arc<Vec<Mutex<TcpStream>>> =
        Arc::new((0..4).map(|_| Mutex::new(session(port, dbname))).collect());
    let (next, turn) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (pool, turn, me) = (pool.clone(), turn.clone(), next.fetch_add(1, Ordering::Relaxed));
            std::thread::spawn(move || serve(client, &pool, order, me, &turn));
        }
    });
    own
}

fn session(port: u16, dbname: &str) -> TcpStream {
    let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let body = format!("\0\x03\0\0user\0postgres\0database\0{dbname}\0\0");
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    server.write_all(&[&length, body.as_bytes()].concat()).unwrap();
    while message(&mut server).unwrap().0 != b'Z' {}
    server
}

fn message(from: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    from.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes(head[1..].try_into().ok()?) as usize;
    let mut whole = head.to_vec();
    whole.resize(length + 1, 0);
    from.read_exact(&mut whole[5..]).ok()?;
    Some((head[0], whole))
}

fn serve(
    mut client: TcpStream,
    pool: &[Mutex<TcpStream>],
    order: Order,
    me: usize,
    turn: &AtomicUsize,
) -> Option<()> {
    let mut length = [0; 4];
    client.read_exact(&mut length).ok()?;
    let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
    client.read_exact(&mut startup).ok()?;
    client.write_all(b"R\0\0\0\x08\0\0\0\0S\0\0\0\x19client_encoding\0UTF8\0").ok()?;
    client.write_all(b"K\0\0\0\x0c\0\0\0\x01\0\0\0\x02Z\0\0\0\x05I").ok()?;
    let mut first = message(&mut client);
    loop {
        let (mut kind, mut whole) = first.take()?;
        let from = match order {
            Order::First => 0,
            Order::Round => turn.fetch_add(1, Ordering::Relaxed),
            Order::Own => me,
        };
        let mut server = (0..).find_map(|step| {
            let at = if matches!(order, Order::Own) { from } else { from + step };
            pool[at % pool.len()].try_lock().ok()
        })?;
        loop {
            if kind == b'X' {
                return None;
            }
            server.write_all(&whole).ok()?;
            if matches!(kind, b'Q' | b'S') {
                let (mut answer, mut bytes) = message(&mut server)?;
                while answer != b'Z' {
                    client.write_all(&bytes).ok()?;
                    (answer, bytes) = message(&mut server)?;
                }
                client.write_all(&bytes).ok()?;
                if bytes[5] == b'I' {
                    break;
                }
            }
            (kind, whole) = message(&mut client)?;
        }
        drop(server);
        first = message(&mut client);
    }
}
