//! What every transaction starts with.

use crate::{
    id::{SessionId, Xid, Zxid},
    jute::record,
    time::WallMillis,
};

record! {
    /// Who caused the transaction, which one it is, when, and of what kind.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct TxnHeader {
        /// The session it was done for; [`SessionId::NONE`] for the server's own.
        pub session: SessionId,
        /// The client's number of the request.
        pub xid: Xid,
        /// Its place in the total order.
        pub zxid: Zxid,
        /// When, by the leader's wall clock.
        pub time: WallMillis,
        /// An [`crate::client::OpCode`], or −1 for an error.
        pub kind: i32,
    }
}

impl TxnHeader {
    /// Bytes of a header on the wire.
    pub const WIRE_BYTES: usize = 32;
}
