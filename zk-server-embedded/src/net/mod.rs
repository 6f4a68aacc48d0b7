//! Sockets.

pub(crate) mod client_conn;
pub(crate) mod client_listener;
