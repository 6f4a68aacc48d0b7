//! Typed numbers. A raw integer lives only inside the codec.

use core::fmt;

/// Position of one transaction in the total order of the ensemble.
///
/// The high half is the leader's [`Epoch`], the low half counts transactions inside it. A wrapped
/// counter would reuse a position, so [`Zxid::next`] refuses instead; the leader must then step
/// down.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Zxid(i64);

impl Zxid {
    /// Before every transaction.
    pub const ZERO: Self = Self(0);
    /// What the wire says where no transaction is meant (an unknown opcode, a synthesised event).
    pub const NONE: Self = Self(-1);

    /// Takes a zxid as it stands on the wire or on disk.
    pub const fn new(raw: i64) -> Self {
        Self(raw)
    }

    /// The transaction `counter` of `epoch`.
    pub const fn from_parts(epoch: Epoch, counter: u32) -> Self {
        Self(((epoch.0 as i64) << 32) | counter as i64)
    }

    /// The wire form.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The leader's epoch this transaction belongs to.
    #[expect(clippy::cast_sign_loss, reason = "the high half, bit for bit")]
    pub const fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }

    /// The position inside the epoch.
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "the low half, bit for bit"
    )]
    pub const fn counter(self) -> u32 {
        self.0 as u32
    }

    /// The position right after this one, or `None` when the epoch's counter is used up.
    pub const fn next(self) -> Option<Self> {
        match self.counter().checked_add(1) {
            Some(counter) => Some(Self::from_parts(self.epoch(), counter)),
            None => None,
        }
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:08x}", self.epoch().0, self.counter())
    }
}

/// Hexadecimal, as file names and four-letter words show it (`100000002`).
impl fmt::LowerHex for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

/// `0x100000002`.
impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident($raw:ty)) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name($raw);

        impl $name {
            /// Takes the number as it stands on the wire or on disk.
            pub const fn new(raw: $raw) -> Self {
                Self(raw)
            }

            /// The wire form.
            pub const fn get(self) -> $raw {
                self.0
            }
        }
    };
}

macro_rules! shown_as_decimal {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}

id! {
    /// Which leadership a transaction belongs to. Only ever grows.
    Epoch(u32)
}
id! {
    /// Number of one ensemble member (`myid`), 1 to 254 with extended types.
    ServerId(i64)
}
id! {
    /// Number a shell gives to one connection; never reused within a process.
    ConnId(u64)
}
id! {
    /// Number a client gives to one request; the reply carries it back.
    Xid(i32)
}
id! {
    /// How often a node's data (or ACL) was set. Wraps to negative after 2³¹−1.
    Version(i32)
}
id! {
    /// One client session. The high byte names the member that opened it.
    SessionId(i64)
}
shown_as_decimal!(Epoch ServerId ConnId Xid Version);

impl Epoch {
    /// The epoch a new leader proposes after this one, or `None` when there is none left.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(epoch) => Some(Self(epoch)),
            None => None,
        }
    }
}

impl Xid {
    /// A watch event.
    pub const NOTIFICATION: Self = Self(-1);
    /// A keep-alive and its answer.
    pub const PING: Self = Self(-2);
    /// Credentials and their answer.
    pub const AUTH: Self = Self(-4);
    /// Watches set again after a reconnect, by the C and Python clients.
    pub const SET_WATCHES: Self = Self(-8);

    /// The number of the next ordinary request. Ordinary numbers run from 1 to 2³¹−1 and start
    /// over.
    #[must_use]
    pub const fn following(self) -> Self {
        match self.0.checked_add(1) {
            Some(next) if next > 0 => Self(next),
            Some(_) | None => Self(1),
        }
    }
}

impl Version {
    /// Matches every version.
    pub const ANY: Self = Self(-1);

    /// The version after one more change; wraps after 2³¹−1 as `ZooKeeper` does.
    #[must_use]
    pub const fn following(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether a caller that expects `self` accepts `current`.
    pub const fn accepts(self, current: Self) -> bool {
        self.0 == Self::ANY.0 || self.0 == current.0
    }
}

impl SessionId {
    /// No session yet.
    pub const NONE: Self = Self(0);
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `0x100000d2fbb0000`.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn a_zxid_is_an_epoch_and_a_counter() {
        let zxid = Zxid::from_parts(Epoch::new(3), 0x17);
        assert_eq!(zxid.get(), 0x3_0000_0017);
        assert_eq!((zxid.epoch(), zxid.counter()), (Epoch::new(3), 0x17));
        assert_eq!(format!("{zxid:?} {zxid} {zxid:x}"), "3:00000017 0x300000017 300000017");
    }

    #[test]
    fn a_used_up_counter_has_no_next() {
        assert_eq!(Zxid::new(0x1_ffff_ffff).next(), None);
        assert_eq!(Zxid::new(0x1_0000_0001).next(), Some(Zxid::new(0x1_0000_0002)));
    }

    #[test]
    fn xids_start_over_at_one() {
        assert_eq!(Xid::new(i32::MAX).following(), Xid::new(1));
        assert_eq!(Xid::new(0).following(), Xid::new(1));
    }

    #[test]
    fn version_minus_one_accepts_everything() {
        assert!(Version::ANY.accepts(Version::new(7)));
        assert!(!Version::new(6).accepts(Version::new(7)));
        assert_eq!(Version::new(i32::MAX).following(), Version::new(i32::MIN));
    }
}
