//! How the nodes of locks are named.

use crate::line::{Marks, Naming};

/// How the nodes of a lock are named. Only locks with the same layout exclude each other.
///
/// Whoever waits by another layout on the same path does not see us, nor we it: each goes ahead. It
/// is warned of by a `tracing` event (`ForeignContender`) and marked in
/// [`crate::Mutex::contenders`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LockLayout {
    /// `_c_<uuid>-lock-<number>`: Curator, go-zookeeper.
    #[default]
    Curator,
    /// `<hex>__lock__<number>`: kazoo.
    Kazoo,
    /// `x-<hex>-<number>`: the lock that `ZooKeeper` itself ships for Java (`WriteLock`). Every
    /// child with a dash in its name takes part, as it does there.
    ZkJava,
    /// Names of one's own.
    Custom(LockNames),
}

/// Names of a lock's nodes: `<head><uuid><mark><number>`; see [`LockLayout::Custom`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct LockNames {
    head: &'static str,
    mark: &'static str,
}

impl LockNames {
    /// Names that start with `head`, which may be empty. Children that carry `mark` contend, in the
    /// order of what follows it.
    ///
    /// `None` when a child could not be named so, or when the mark could be taken for a part of a
    /// number: it needs a character besides hexadecimal digits and dashes, and neither may hold a
    /// slash or a
    /// control character.
    ///
    /// # Examples
    /// ```
    /// use zk_recipes::{LockLayout, LockNames};
    ///
    /// let names = LockNames::new("job-", "-turn-").expect("legal names");
    /// let layout = LockLayout::Custom(names); // job-<uuid>-turn-0000000000
    /// assert_eq!(LockNames::new("", "-0"), None);
    /// # drop(layout);
    /// ```
    pub fn new(head: &'static str, mark: &'static str) -> Option<Self> {
        let is_plain = |text: &str| text.chars().all(|c| c != '/' && c.is_ascii_graphic());
        let is_telling = mark.chars().any(|c| !c.is_ascii_hexdigit() && c != '-');
        (is_plain(head) && is_plain(mark) && is_telling).then_some(Self { head, mark })
    }
}

impl LockLayout {
    pub(crate) const fn naming(self) -> Naming {
        match self {
            Self::Curator => Naming::curator(Marks::One("lock-")),
            Self::Kazoo => Naming::kazoo(Marks::One("__lock__")),
            Self::ZkJava => Naming::zk_java(),
            Self::Custom(LockNames { head, mark }) => Naming::custom(head, mark),
        }
    }
}

/// How the nodes of a [`crate::ReadWriteLock`] are named. Only locks with the same layout exclude
/// each other.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ReadWriteLayout {
    /// `_c_<uuid>-__READ__<number>` and `_c_<uuid>-__WRIT__<number>`: Curator.
    #[default]
    Curator,
    /// `<hex>__rlock__<number>` and `<hex>__lock__<number>`: kazoo's `ReadLock` and `WriteLock`.
    Kazoo,
}

impl ReadWriteLayout {
    /// The readers' mark first; see [`crate::line::ReadWrite`].
    pub(crate) const fn naming(self) -> Naming {
        match self {
            Self::Curator => Naming::curator(Marks::Two(["__READ__", "__WRIT__"])),
            Self::Kazoo => Naming::kazoo(Marks::Two(["__rlock__", "__lock__"])),
        }
    }
}
