//! How the nodes of items are named, in which order they are taken, and when. Pure.

use std::time::Duration;

/// How the nodes of a queue are named and packed. Only queues of the same kind share items.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum QueueKind {
    /// `qn-<number>`, plain data, first come first: Curator's `SimpleDistributedQueue` and the
    /// queue
    /// that `ZooKeeper` itself ships for Java.
    #[default]
    Simple,
    /// `queue-<number>`, packed data, first come first: Curator's `DistributedQueue`.
    Curator,
    /// `queue-<priority><number>`, packed data, smaller priorities first: Curator's
    /// `DistributedPriorityQueue`.
    CuratorPriority,
    /// `queue-|<id>|<number>`, packed data, first come first: Curator's `DistributedIdQueue`.
    CuratorId,
    /// `queue-|<milliseconds since 1970>|<number>`, packed data, first due first and none before it
    /// is due: Curator's `DistributedDelayQueue`.
    CuratorDelay,
    /// `entry-<priority>-<number>`, plain data, smaller priorities first: kazoo's `Queue`, and its
    /// `LockingQueue` when the path ends in `/entries` and locks lie in `taken` beside.
    Kazoo,
}

/// The priority of items that are given none, in kazoo's queues.
const KAZOO_PRIORITY: i32 = 100;

/// The largest priority that kazoo's names have room for.
const KAZOO_PRIORITY_MAX: i32 = 999;

impl QueueKind {
    /// Whether data are packed.
    pub(super) const fn is_packed(self) -> bool {
        match self {
            Self::Curator | Self::CuratorPriority | Self::CuratorId | Self::CuratorDelay => true,
            Self::Simple | Self::Kazoo => false,
        }
    }

    /// The name of an item without priority or id, up to its number; `None` where it needs one.
    pub(super) fn plain(self) -> Option<String> {
        match self {
            Self::Simple => Some("qn-".to_owned()),
            Self::Curator => Some("queue-".to_owned()),
            Self::CuratorPriority => self.with_priority(0),
            Self::CuratorId | Self::CuratorDelay => None,
            Self::Kazoo => self.with_priority(KAZOO_PRIORITY),
        }
    }

    /// The name of an item with a priority, up to its number; `None` where there is no such thing.
    // Curator: DistributedPriorityQueue.priorityToString
    pub(super) fn with_priority(self, priority: i32) -> Option<String> {
        match self {
            Self::CuratorPriority => {
                let sign = if priority >= 0 { '1' } else { '0' };
                Some(format!("queue-{sign}{priority:08X}"))
            }
            Self::Kazoo => (0..=KAZOO_PRIORITY_MAX)
                .contains(&priority)
                .then(|| format!("entry-{priority:03}-")),
            Self::Simple | Self::Curator | Self::CuratorId | Self::CuratorDelay => None,
        }
    }

    /// The name of an item with an id, up to its number; `None` where there is no such thing.
    // Curator: DistributedIdQueue.fixId
    pub(super) fn with_id(self, id: &str) -> Option<String> {
        match self {
            Self::CuratorId => Some(format!("queue-|{}|", id.replace(['/', '|'], "_"))),
            Self::Simple
            | Self::Curator
            | Self::CuratorPriority
            | Self::CuratorDelay
            | Self::Kazoo => None,
        }
    }

    /// The name of an item that is due so long after 1970, up to its number; `None` where there is
    /// no such thing.
    // Curator: DistributedDelayQueue.epochToString
    pub(super) fn with_due(self, due: Duration) -> Option<String> {
        match self {
            Self::CuratorDelay => {
                let millis = i64::try_from(due.as_millis()).ok()?;
                Some(format!("queue-|{millis:08X}|"))
            }
            Self::Simple
            | Self::Curator
            | Self::CuratorPriority
            | Self::CuratorId
            | Self::Kazoo => None,
        }
    }

    /// When an item is due, as long after 1970; at once where items are not due at a time.
    // Curator: DistributedDelayQueue.getEpoch
    pub(super) fn due(self, name: &str) -> Duration {
        if self != Self::CuratorDelay {
            return Duration::ZERO;
        }
        let millis = name.split('|').nth(1).and_then(|due| u64::from_str_radix(due, 16).ok());
        Duration::from_millis(millis.unwrap_or(0))
    }

    /// The items among the children, in the order in which they are to be taken.
    pub(super) fn order(self, names: Vec<String>) -> Vec<String> {
        let start = match self {
            Self::Simple => "qn-",
            Self::Curator | Self::CuratorPriority | Self::CuratorId | Self::CuratorDelay => {
                "queue-"
            }
            Self::Kazoo => "entry-",
        };
        let mut items: Vec<_> = names.into_iter().filter(|name| name.starts_with(start)).collect();
        // An id says nothing about the order.
        let key_at = |name: &str| match self {
            Self::CuratorId | Self::CuratorDelay => name.rfind('|').map_or(0, |at| at + 1),
            Self::Simple | Self::Curator | Self::CuratorPriority | Self::Kazoo => 0,
        };
        items.sort_by(|one, other| {
            let due = self.due(one).cmp(&self.due(other));
            due.then_with(|| one[key_at(one)..].cmp(&other[key_at(other)..]))
        });
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_curator_and_kazoo() {
        let priority = |kind: QueueKind, priority| kind.with_priority(priority);
        let curator = QueueKind::CuratorPriority;
        assert_eq!(priority(curator, 5).as_deref(), Some("queue-100000005"));
        assert_eq!(priority(curator, -1).as_deref(), Some("queue-0FFFFFFFF"));
        assert_eq!(priority(QueueKind::Kazoo, 7).as_deref(), Some("entry-007-"));
        assert_eq!(priority(QueueKind::Kazoo, 1000), None);
        assert_eq!(QueueKind::Kazoo.plain().as_deref(), Some("entry-100-"));
        assert_eq!(QueueKind::CuratorId.with_id("a/b|c").as_deref(), Some("queue-|a_b_c|"));
        assert_eq!(QueueKind::Simple.with_priority(1), None);
        assert_eq!(QueueKind::CuratorId.plain(), None);
    }

    #[test]
    fn smaller_priorities_come_first_whatever_their_sign() {
        let name = |priority| QueueKind::CuratorPriority.with_priority(priority).expect("a name");
        let names = [3, -1, 0, i32::MIN, -7, i32::MAX].map(name).to_vec();
        let ordered = QueueKind::CuratorPriority.order(names);
        assert_eq!(ordered, [i32::MIN, -7, -1, 0, 3, i32::MAX].map(name));
    }

    #[test]
    fn ids_do_not_change_the_order_and_strangers_are_left_out() {
        let names = ["queue-|b|0000000001", "queue-|a|0000000002", "config", "qn-0000000000"];
        let ordered = QueueKind::CuratorId.order(names.map(Into::into).to_vec());
        assert_eq!(ordered, [names[0], names[1]]);
    }

    #[test]
    fn what_is_due_first_comes_first_however_long_its_number() {
        let due = |millis| QueueKind::CuratorDelay.with_due(Duration::from_millis(millis));
        assert_eq!(due(0x018B_CFE5_6800).as_deref(), Some("queue-|18BCFE56800|"));
        assert_eq!(due(1).as_deref(), Some("queue-|00000001|"));
        let names = [
            "queue-|18BCFE56800|0000000000",
            "queue-|FFFFFFFF|0000000002",
            "queue-|FFFFFFFF|0000000001",
            "queue-|no time|0000000003",
        ];
        let ordered = QueueKind::CuratorDelay.order(names.map(Into::into).to_vec());
        assert_eq!(ordered, [names[3], names[2], names[1], names[0]]);
        assert_eq!(QueueKind::CuratorDelay.due(names[0]).as_millis(), 0x018B_CFE5_6800);
        assert_eq!(QueueKind::CuratorId.due(names[0]), Duration::ZERO);
    }
}
