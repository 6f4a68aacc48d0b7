//! The loads by name, and which request comes next in each.

use std::fmt;
use std::str::FromStr;

use crate::connection::Operation;

/// A load, as named on the command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Workload {
    /// `getData` of random nodes.
    Read,
    /// `setData` of random nodes.
    Write,
    /// Nine reads to a write.
    Mix90,
    /// Seven reads to three writes.
    Mix70,
    /// A node created and deleted again, both counted.
    CreateDelete,
    /// Ten sets in one multi.
    Multi10,
    /// Reads, one at a time in one session.
    Lat1Get,
    /// Writes, one at a time in one session.
    Lat1Set,
    /// A fixed number of operations a second, nine reads to a write.
    Rate,
    /// One session with many reads outstanding.
    Depth256,
    /// Session pings.
    Ping,
    /// `exists` of random nodes.
    Exists,
    /// One write seen by many watchers.
    Watch,
    /// Sessions opened and closed.
    Churn,
    /// Sessions that do nothing.
    Idle,
}

impl Workload {
    pub(crate) const ALL: [Self; 15] = [
        Self::Read,
        Self::Write,
        Self::Mix90,
        Self::Mix70,
        Self::CreateDelete,
        Self::Multi10,
        Self::Lat1Get,
        Self::Lat1Set,
        Self::Rate,
        Self::Depth256,
        Self::Ping,
        Self::Exists,
        Self::Watch,
        Self::Churn,
        Self::Idle,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Mix90 => "mix90",
            Self::Mix70 => "mix70",
            Self::CreateDelete => "credel",
            Self::Multi10 => "multi10",
            Self::Lat1Get => "lat1get",
            Self::Lat1Set => "lat1set",
            Self::Rate => "rate10k",
            Self::Depth256 => "depth256",
            Self::Ping => "ping",
            Self::Exists => "exists",
            Self::Watch => "watch1k",
            Self::Churn => "churn",
            Self::Idle => "idle",
        }
    }

    /// Sessions, and requests outstanding in each, unless told otherwise.
    pub(crate) const fn shape(self) -> (u32, usize) {
        match self {
            Self::Read
            | Self::Write
            | Self::Mix90
            | Self::Mix70
            | Self::CreateDelete
            | Self::Rate
            | Self::Ping
            | Self::Exists => (32, 8),
            Self::Multi10 => (32, 1),
            Self::Lat1Get | Self::Lat1Set => (1, 1),
            Self::Depth256 => (1, 256),
            Self::Watch => (1_000, 1),
            Self::Churn => (16, 1),
            Self::Idle => (5_000, 0),
        }
    }

    /// Bytes of a value unless told otherwise.
    pub(crate) const fn value_bytes(self) -> usize {
        match self {
            Self::Depth256 => 100,
            Self::Read
            | Self::Write
            | Self::Mix90
            | Self::Mix70
            | Self::CreateDelete
            | Self::Multi10
            | Self::Lat1Get
            | Self::Lat1Set
            | Self::Rate
            | Self::Ping
            | Self::Exists
            | Self::Watch
            | Self::Churn
            | Self::Idle => 1_024,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name);
        Self::ALL
            .into_iter()
            .find(|workload| workload.name() == name)
            .ok_or_else(|| format!("no load is called {name}; there are {}", known.join(", ")))
    }
}

/// Chooses requests, one connection's share of a load.
#[derive(Debug)]
pub(crate) struct Chooser {
    workload: Workload,
    nodes: u32,
    random: u64,
    passing: u32,
}

impl Chooser {
    /// The same `number` makes the same choices again.
    pub(crate) fn new(workload: Workload, nodes: u32, number: u32) -> Self {
        let seed = (u64::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { workload, nodes, random: seed, passing: 0 }
    }

    pub(crate) fn choose(&mut self) -> Operation {
        match self.workload {
            Workload::Read | Workload::Lat1Get | Workload::Depth256 => {
                Operation::Get { node: self.node() }
            }
            Workload::Write | Workload::Lat1Set => Operation::Set { node: self.node() },
            Workload::Mix90 | Workload::Rate => self.mixed(90),
            Workload::Mix70 => self.mixed(70),
            Workload::CreateDelete => self.passing(),
            Workload::Multi10 => Operation::Multi { first: self.node() },
            Workload::Exists => Operation::Exists { node: self.node() },
            Workload::Ping | Workload::Watch | Workload::Churn | Workload::Idle => Operation::Ping,
        }
    }

    fn mixed(&mut self, reads_percent: u32) -> Operation {
        let node = self.node();
        if self.below(100) < reads_percent {
            Operation::Get { node }
        } else {
            Operation::Set { node }
        }
    }

    fn passing(&mut self) -> Operation {
        let sequence = self.passing / 2;
        let is_create = self.passing.is_multiple_of(2);
        self.passing = self.passing.wrapping_add(1);
        if is_create { Operation::Create { sequence } } else { Operation::Delete { sequence } }
    }

    /// A random node.
    pub(crate) fn node(&mut self) -> u32 {
        self.below(self.nodes)
    }

    /// A number below `bound`, by xorshift: cheap, and good enough to spread a load.
    fn below(&mut self, bound: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let high = u32::try_from(self.random >> 32).unwrap_or(0);
        u32::try_from((u64::from(high) * u64::from(bound)) >> 32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_load_is_found_by_its_name() {
        for workload in Workload::ALL {
            assert_eq!(workload.name().parse(), Ok(workload));
        }
        assert!("nothing".parse::<Workload>().is_err());
    }

    #[test]
    fn a_mix_keeps_its_share_of_reads() {
        let mut chooser = Chooser::new(Workload::Mix70, 1_000, 3);
        let reads =
            (0..100_000).filter(|_| matches!(chooser.choose(), Operation::Get { .. })).count();

        assert!((69_000..71_000).contains(&reads), "{reads}");
    }

    #[test]
    fn every_created_node_is_deleted_next() {
        let mut chooser = Chooser::new(Workload::CreateDelete, 1, 0);

        assert_eq!(chooser.choose(), Operation::Create { sequence: 0 });
        assert_eq!(chooser.choose(), Operation::Delete { sequence: 0 });
        assert_eq!(chooser.choose(), Operation::Create { sequence: 1 });
    }

    #[test]
    fn choices_stay_within_the_nodes() {
        let mut chooser = Chooser::new(Workload::Read, 3, 1);

        for _ in 0..1_000 {
            assert!(matches!(chooser.choose(), Operation::Get { node: 0..=2 }));
        }
    }
}
