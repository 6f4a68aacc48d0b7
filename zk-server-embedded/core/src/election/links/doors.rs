//! What goes into the links and what comes out.

use alloc::{collections::BTreeMap, vec::Vec};

use zk_proto::{ConnId, ServerId, ballot::Hello, ensemble::HostPort};

use crate::election::Reach;

/// The settings of [`Links`](super::Links).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinksConfig {
    /// What we say first on every connection we dial.
    pub hello: Hello,
    /// How long somebody who connected may take over its hello, in milliseconds.
    pub hello_ms_max: u64,
    /// The first pause before somebody is dialled again, in milliseconds.
    pub dial_ms_min: u64,
    /// The longest such pause; it doubles each time.
    pub dial_ms_max: u64,
}

impl LinksConfig {
    /// The usual settings.
    pub const fn new(hello: Hello) -> Self {
        Self { hello, hello_ms_max: 10_000, dial_ms_min: 5, dial_ms_max: 1_000 }
    }
}

/// One thing that happened.
#[derive(Debug)]
pub enum LinkInput<'a> {
    /// Who the other members are, and where; anybody else is a stranger from here on.
    Members(BTreeMap<ServerId, Vec<HostPort>>),
    /// A message is to be sent.
    Send {
        /// To whom.
        to: ServerId,
        /// The message, without a length.
        bytes: Vec<u8>,
    },
    /// A connection that was asked for is made.
    Dialled {
        /// Who was dialled.
        peer: ServerId,
        /// The connection's number, never used before.
        conn: ConnId,
    },
    /// A connection that was asked for could not be made.
    DialFailed {
        /// Who was dialled.
        peer: ServerId,
    },
    /// Somebody connected.
    Accepted {
        /// The connection's number, never used before.
        conn: ConnId,
    },
    /// Bytes came in.
    Bytes {
        /// On which connection.
        conn: ConnId,
        /// What came.
        bytes: &'a [u8],
    },
    /// Everything handed over for a connection is out of our hands.
    Written {
        /// Which one.
        conn: ConnId,
    },
    /// A connection is gone, and not because we closed it.
    Closed {
        /// Which one.
        conn: ConnId,
    },
    /// The moment named by [`Links::next_timeout`](super::Links::next_timeout) has come.
    Timeout,
}

/// One thing to do.
#[derive(Debug, Eq, PartialEq)]
pub enum LinkOutput {
    /// Connect to the first of these addresses that answers.
    Dial {
        /// Whom.
        peer: ServerId,
        /// Where; at least one.
        addresses: Vec<HostPort>,
    },
    /// Write bytes in one piece, then report [`LinkInput::Written`].
    Write {
        /// On which connection.
        conn: ConnId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close a connection after what was handed over for it is written; nothing is reported for it
    /// any more.
    Close {
        /// Which one.
        conn: ConnId,
        /// Why; for the log and the counters.
        reason: LinkClose,
    },
    /// A message came in; it is a readable notification.
    Deliver {
        /// From whom.
        from: ServerId,
        /// The message, without its length.
        bytes: Vec<u8>,
    },
    /// A member came into reach or went out of it.
    Reach {
        /// Who.
        peer: ServerId,
        /// How it stands.
        reach: Reach,
    },
}

/// Why a connection of the election port is closed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LinkClose {
    /// A newer connection with the same member took its place.
    Replaced,
    /// We made ourselves known; the member with the larger id dials.
    LargerDials,
    /// The member made itself known; we have the larger id and dial.
    WeDial,
    /// The other end claims to be us: an id is given twice, or we dialled ourselves.
    OurOwnId,
    /// The other end does not say who it is.
    NoId,
    /// The other end gives a number and nothing else, as members of old do and strangers of any
    /// kind might, and it is not the number of a member.
    NotAMember,
    /// The first bytes are no hello.
    BadHello,
    /// The hello did not come in time.
    HelloTimeout,
    /// Too many connections without a hello, or too many strangers.
    TooMany,
    /// A length that no message has, or a message that cannot be read.
    BadMessage,
}
