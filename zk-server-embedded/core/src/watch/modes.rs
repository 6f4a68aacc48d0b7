//! The ways in which one connection watches one path.

use zk_proto::client::WatcherType;

use super::WatchKind;

/// A set of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Modes(u8);

impl Modes {
    pub(super) const NONE: Self = Self(0);
    const DATA_ONCE: Self = Self(1);
    const CHILD_ONCE: Self = Self(2);
    const DATA_PERSISTENT: Self = Self(4);
    const CHILD_PERSISTENT: Self = Self(8);
    pub(super) const RECURSIVE: Self = Self(16);

    /// Everything Apache `ZooKeeper` keeps in its table for data.
    pub(super) const DATA: Self = Self::DATA_ONCE.with(Self::DATA_PERSISTENT).with(Self::RECURSIVE);
    /// Everything Apache `ZooKeeper` keeps in its table for children.
    pub(super) const CHILD: Self = Self::CHILD_ONCE.with(Self::CHILD_PERSISTENT);
    /// What is used up by an event.
    pub(super) const ONCE: Self = Self::DATA_ONCE.with(Self::CHILD_ONCE);
    const ALL: Self = Self::DATA.with(Self::CHILD);

    // client-protocol 10.2
    pub(super) const fn of(kind: WatchKind) -> Self {
        match kind {
            WatchKind::Data => Self::DATA_ONCE,
            WatchKind::Child => Self::CHILD_ONCE,
            WatchKind::Persistent => Self::DATA_PERSISTENT.with(Self::CHILD_PERSISTENT),
            WatchKind::Recursive => Self::RECURSIVE,
        }
    }

    /// The ways of watching that are among them.
    pub(super) fn kinds(self) -> impl Iterator<Item = WatchKind> {
        let kinds =
            [WatchKind::Data, WatchKind::Child, WatchKind::Persistent, WatchKind::Recursive];
        kinds.into_iter().filter(move |&kind| self.overlaps(Self::of(kind)))
    }

    /// What a question about this type asks for.
    // client-protocol 10.4
    pub(super) const fn sought(kind: WatcherType) -> Self {
        match kind {
            WatcherType::Children => Self::CHILD_ONCE,
            WatcherType::Data => Self::DATA_ONCE,
            WatcherType::Any => Self::ALL,
            WatcherType::Persistent => Self::DATA_PERSISTENT,
            WatcherType::PersistentRecursive => Self::RECURSIVE,
        }
    }

    /// What goes when this type is removed.
    // client-protocol 10.4
    pub(super) const fn cleared(kind: WatcherType) -> Self {
        match kind {
            WatcherType::Persistent => Self::DATA_PERSISTENT.with(Self::CHILD_PERSISTENT),
            WatcherType::Children
            | WatcherType::Data
            | WatcherType::Any
            | WatcherType::PersistentRecursive => Self::sought(kind),
        }
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) const fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn is_none(self) -> bool {
        self.0 == 0
    }
}
