//! Sockets.

pub(crate) mod client_conn;
pub(crate) mod client_listener;
mod dial;
pub(crate) mod election_port;
mod link;
mod member_port;
pub(crate) mod quorum_port;

pub(crate) use dial::dial;
pub(crate) use link::LinkTask;
