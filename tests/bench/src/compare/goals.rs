//! The figures of a comparison and what they must be.
//!
//! Numbers P1–P24 are those of the project's performance goals, each a bound
//! on *ours ÷ Java* from the same run. A figure without a goal is printed
//! because another could be bought with it: one outstanding write, for
//! instance, shows whether throughput is had by waiting before a sync.

use crate::workload::Workload;

/// One figure that is measured for both.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Figure {
    ReadThroughput,
    ReadCost,
    WriteThroughput,
    WriteCost,
    Mix90Throughput,
    Mix70Throughput,
    CreateDeleteThroughput,
    MultiThroughput,
    OneReadLatency,
    OneWriteLatency,
    RateTail,
    FanoutLatency,
    ChurnThroughput,
    OneSessionThroughput,
    PingThroughput,
    Launch,
    FreshMemory,
    LoadedMemory,
    SessionMemory,
    TreeLoading,
    TreeMemory,
    Restart,
    Failover,
    Frozen,
    CatchUp,
}

/// A bound on a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
    /// Less is better, and the do-nothing server times this is enough.
    NearFloor(f64),
}

/// What a figure must be and should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    pub(crate) must: Bound,
    pub(crate) aim: Bound,
}

impl Figure {
    pub(crate) const ALL: [Self; 25] = [
        Self::ReadThroughput,
        Self::ReadCost,
        Self::WriteThroughput,
        Self::WriteCost,
        Self::Mix90Throughput,
        Self::Mix70Throughput,
        Self::CreateDeleteThroughput,
        Self::MultiThroughput,
        Self::OneReadLatency,
        Self::OneWriteLatency,
        Self::RateTail,
        Self::FanoutLatency,
        Self::ChurnThroughput,
        Self::OneSessionThroughput,
        Self::PingThroughput,
        Self::Launch,
        Self::FreshMemory,
        Self::LoadedMemory,
        Self::SessionMemory,
        Self::TreeLoading,
        Self::TreeMemory,
        Self::Restart,
        Self::Failover,
        Self::Frozen,
        Self::CatchUp,
    ];

    /// What it is, with its unit last.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::ReadThroughput => "read 1 KB, ops/s",
            Self::ReadCost => "read 1 KB, server µs/op",
            Self::WriteThroughput => "write 1 KB, ops/s",
            Self::WriteCost => "write 1 KB, server µs/op",
            Self::Mix90Throughput => "90 % reads, ops/s",
            Self::Mix70Throughput => "70 % reads, ops/s",
            Self::CreateDeleteThroughput => "create + delete, ops/s",
            Self::MultiThroughput => "multi of ten sets, ops/s",
            Self::OneReadLatency => "one outstanding read, p50 µs",
            Self::OneWriteLatency => "one outstanding write, p50 µs",
            Self::RateTail => "10 000 ops/s offered, p99 µs",
            Self::FanoutLatency => "1 000 watchers, last told, p50 µs",
            Self::ChurnThroughput => "sessions opened and closed, /s",
            Self::OneSessionThroughput => "one session, depth 256, reads/s",
            Self::PingThroughput => "ping, ops/s",
            Self::Launch => "launch to first write, ms",
            Self::FreshMemory => "memory, fresh, MiB",
            Self::LoadedMemory => "memory, under load, MiB",
            Self::SessionMemory => "memory per idle session, bytes",
            Self::TreeLoading => "creates while loading the tree, /s",
            Self::TreeMemory => "memory, tree after restart, MiB",
            Self::Restart => "restart with the tree, ms",
            Self::Failover => "leader killed to first write, ms",
            Self::Frozen => "leader frozen to first write, ms",
            Self::CatchUp => "follower that missed 20 000 serves, ms",
        }
    }

    /// Its goal in an ensemble of this size, if it has one.
    pub(crate) const fn goal(self, members: u32) -> Option<Goal> {
        use Bound::{AtLeast, AtMost, NearFloor};
        let is_alone = members == 1;
        let (name, must, aim) = match self {
            Self::ReadThroughput if is_alone => ("P1", AtLeast(5.0), AtLeast(8.0)),
            Self::ReadCost if is_alone => ("P2", AtMost(1.0 / 7.0), AtMost(0.1)),
            Self::WriteThroughput if is_alone => ("P3", AtLeast(3.0), AtLeast(5.0)),
            Self::WriteThroughput => ("P4", AtLeast(4.0), AtLeast(6.0)),
            Self::Mix90Throughput | Self::Mix70Throughput if !is_alone => {
                ("P5", AtLeast(5.0), AtLeast(8.0))
            }
            Self::CreateDeleteThroughput if !is_alone => ("P6", AtLeast(4.0), AtLeast(6.0)),
            Self::RateTail => ("P7", AtMost(0.2), AtMost(0.1)),
            Self::OneReadLatency => ("P8", AtMost(0.8), NearFloor(1.1)),
            Self::OneWriteLatency if !is_alone => ("P9", AtMost(0.5), AtMost(0.4)),
            Self::FanoutLatency => ("P10", AtMost(1.0 / 3.0), AtMost(0.2)),
            Self::ChurnThroughput if is_alone => ("P11", AtLeast(3.0), AtLeast(5.0)),
            Self::ChurnThroughput => ("P11", AtLeast(3.0), AtLeast(10.0)),
            Self::Launch if is_alone => ("P14", AtMost(0.05), AtMost(0.02)),
            Self::Launch => ("P15", AtMost(0.1), AtMost(0.05)),
            Self::FreshMemory => ("P16", AtMost(0.1), AtMost(1.0 / 15.0)),
            Self::SessionMemory => ("P17", AtMost(0.2), AtMost(0.1)),
            Self::TreeMemory => ("P18", AtMost(1.0 / 3.0), AtMost(0.25)),
            Self::Restart => ("P19", AtMost(0.125), AtMost(1.0 / 15.0)),
            Self::Failover => ("P12", AtMost(0.2), AtMost(0.1)),
            Self::Frozen => ("P13", AtMost(1.0), AtMost(0.2)),
            Self::CatchUp => ("P20", AtMost(0.2), AtMost(0.1)),
            Self::OneSessionThroughput => ("P23", AtLeast(8.0), AtLeast(15.0)),
            Self::ReadThroughput
            | Self::ReadCost
            | Self::WriteCost
            | Self::Mix90Throughput
            | Self::Mix70Throughput
            | Self::CreateDeleteThroughput
            | Self::MultiThroughput
            | Self::OneWriteLatency
            | Self::PingThroughput
            | Self::LoadedMemory
            | Self::TreeLoading => return None,
        };
        Some(Goal { name, must, aim })
    }
}

/// The loads of a comparison, in the order they are run.
pub(crate) const LOADS: [Workload; 13] = [
    Workload::Read,
    Workload::Write,
    Workload::Mix90,
    Workload::Mix70,
    Workload::CreateDelete,
    Workload::Multi10,
    Workload::Lat1Get,
    Workload::Lat1Set,
    Workload::Rate,
    Workload::Depth256,
    Workload::Watch,
    Workload::Churn,
    Workload::Ping,
];

impl Bound {
    /// Tells whether `ours` keeps the bound beside `theirs`, given what the floor reached.
    pub(crate) fn is_kept(self, ours: f64, theirs: f64, floor: Option<f64>) -> Option<bool> {
        match self {
            Self::AtLeast(ratio) => Some(ours >= theirs * ratio),
            Self::AtMost(ratio) => Some(ours <= theirs * ratio),
            Self::NearFloor(ratio) => floor.map(|floor| ours <= floor * ratio),
        }
    }

    pub(crate) fn describe(self) -> String {
        match self {
            Self::AtLeast(ratio) => format!("≥ {ratio:.0} ×"),
            Self::AtMost(ratio) if ratio < 0.34 => format!("≤ 1/{:.0}", 1.0 / ratio),
            Self::AtMost(ratio) => format!("≤ {ratio} ×"),
            Self::NearFloor(ratio) => format!("floor × {ratio}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_never_easier_than_its_must() {
        for members in [1, 3] {
            for goal in Figure::ALL.into_iter().filter_map(|figure| figure.goal(members)) {
                match (goal.must, goal.aim) {
                    (Bound::AtLeast(must), Bound::AtLeast(aim)) => assert!(aim > must, "{goal:?}"),
                    (Bound::AtMost(must), Bound::AtMost(aim)) => assert!(aim < must, "{goal:?}"),
                    (Bound::AtMost(_), Bound::NearFloor(_)) => (),
                    (must, aim) => panic!("{must:?} and {aim:?} point different ways"),
                }
            }
        }
    }

    #[test]
    fn a_bound_reads_as_people_write_it() {
        assert_eq!(Bound::AtLeast(5.0).describe(), "≥ 5 ×");
        assert_eq!(Bound::AtMost(1.0 / 7.0).describe(), "≤ 1/7");
        assert_eq!(Bound::AtMost(0.8).describe(), "≤ 0.8 ×");
    }

    #[test]
    fn a_bound_is_kept_at_its_edge() {
        assert_eq!(Bound::AtLeast(5.0).is_kept(50.0, 10.0, None), Some(true));
        assert_eq!(Bound::AtMost(0.2).is_kept(2.1, 10.0, None), Some(false));
        assert_eq!(Bound::NearFloor(1.1).is_kept(10.0, 1.0, Some(10.0)), Some(true));
        assert_eq!(Bound::NearFloor(1.1).is_kept(10.0, 1.0, None), None);
    }
}
