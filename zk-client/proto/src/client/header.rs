//! What stands in front of every request and every answer.

use crate::{
    id::{Xid, Zxid},
    jute::record,
};

record! {
    /// Stands in front of every request but the first.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct RequestHeader {
        /// The client's number for the request.
        pub xid: Xid,
        /// The operation; see [`super::OpCode`].
        pub op: i32,
    }
}

record! {
    /// Stands in front of every answer but the first, and of every watch event.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct ReplyHeader {
        /// The number of the request, or [`Xid::NOTIFICATION`].
        pub xid: Xid,
        /// The last transaction the server had applied; for an event the one that caused it.
        pub zxid: Zxid,
        /// Zero, or an [`crate::ErrorCode`]; then no body follows.
        pub error: i32,
    }
}

impl ReplyHeader {
    /// Bytes of a reply header on the wire.
    pub const WIRE_BYTES: usize = 16;
}
