//! Ports for servers that cannot tell which port they took.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range that outgoing connections take theirs from: asking a port of that range for an
/// answer before anybody listens on it can end in a connection to oneself.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that was free a moment ago.
///
/// # Panics
/// When there is none.
pub fn free() -> u16 {
    let span = PORTS.end - PORTS.start;
    // Programs that run at the same time begin at different places.
    let own = u64::from(std::process::id()) * 97;
    for _ in 0..span {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = (own + u64::from(step)) % u64::from(span);
        let port = PORTS.start + u16::try_from(offset).expect("less than the span");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free in {PORTS:?}");
}
