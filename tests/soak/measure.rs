//! What a server holds at one moment.

use std::{fmt, fs};

use zk_tests::subject::Subject;

/// Figures of the process and of the word `mntr`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    resident_bytes: u64,
    descriptors: usize,
    threads: usize,
    connections: u64,
    sessions: u64,
    watches: u64,
    ephemerals: u64,
    nodes: u64,
    outstanding: u64,
}

/// How much more memory is no leak: allocators keep pages of one kind of load for the next.
const RESIDENT_GROWTH_PERCENT_MAX: u64 = 20;
/// The same for small servers, in bytes.
const RESIDENT_GROWTH_BYTES_MAX: u64 = 16 << 20;
/// A snapshot or a log may just be open.
const DESCRIPTORS_GROWTH_MAX: usize = 2;

impl Measured {
    /// Asks the server, and the system about it.
    pub(crate) async fn of(server: &Subject) -> Self {
        let all = server.word("mntr").await;
        let value = |name: &str| {
            let line = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
            line.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{all}"))
        };
        let count = |what: &str| {
            let path = format!("/proc/{}/{what}", server.process.id());
            fs::read_dir(path).expect("a running process on Linux").count()
        };
        Self {
            resident_bytes: server.process.resident_bytes(),
            descriptors: count("fd"),
            threads: count("task"),
            connections: value("zk_num_alive_connections"),
            sessions: value("zk_global_sessions"),
            watches: value("zk_watch_count"),
            ephemerals: value("zk_ephemerals_count"),
            nodes: value("zk_znode_count"),
            outstanding: value("zk_outstanding_requests"),
        }
    }

    /// Whether all clients are forgotten; the one connection is the asking one.
    pub(crate) const fn is_settled(&self) -> bool {
        self.sessions == 0 && self.watches == 0 && self.ephemerals == 0 && self.connections <= 1
    }

    /// Holds it against an earlier measure of the same kind.
    ///
    /// # Panics
    /// When something has grown.
    pub(crate) fn expect_no_more_than(&self, earlier: &Self) {
        let room = earlier.resident_bytes * RESIDENT_GROWTH_PERCENT_MAX / 100;
        let resident_max = earlier.resident_bytes + room.max(RESIDENT_GROWTH_BYTES_MAX);
        assert!(self.resident_bytes <= resident_max, "memory: {self} after {earlier}");
        let descriptors_max = earlier.descriptors + DESCRIPTORS_GROWTH_MAX;
        assert!(self.descriptors <= descriptors_max, "descriptors: {self} after {earlier}");
        assert!(self.threads <= earlier.threads, "threads: {self} after {earlier}");
        assert_eq!(self.nodes, earlier.nodes, "nodes: {self} after {earlier}");
        assert_eq!(self.outstanding, 0, "requests: {self}");
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { descriptors, threads, connections, sessions, watches, .. } = self;
        let (ephemerals, nodes) = (self.ephemerals, self.nodes);
        let resident = self.resident_bytes / 1024;
        write!(f, "{resident} KiB, {descriptors} descriptors, {threads} threads, ")?;
        write!(f, "{connections} connections, {sessions} sessions, {watches} watches, ")?;
        write!(f, "{ephemerals} ephemerals, {nodes} nodes")
    }
}
