//! An embeddable `ZooKeeper` server, compatible with Apache `ZooKeeper` 3.9 on the wire and on
//! disk.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! use zk_server_embedded::Server;
//!
//! let server = Server::builder().start().await?;      // in memory, on a free port
//! println!("connect to {}", server.connect_string());
//! server.shutdown().await;
//! # Ok(()) })
//! # }
//! ```
//!
//! A server is one thread that owns its sockets and its data, and one more that writes to disk. The
//! application's runtime only sees handles, which work from any runtime.
//!
//! | for | see |
//! |---|---|
//! | a server in an application | [`Server::builder`] |
//! | a server in a test, with faults and a clock | [`testing::TestServer`] |
//! | an ensemble in one process, whose members can be killed and cut off | [`ensemble::Ensemble`] |
//! | a server or a member by itself | the program `zk-server`, and [`config_file`] |
//!
//! # Features
//! `cli` (on by default) builds the program `zk-server` and what only it needs: a log subscriber
//! and the handling of signals. A library that embeds a server says `default-features = false`.

mod builder;
mod clock;
pub mod config_file;
mod disk;
mod driver;
pub mod ensemble;
mod faults;
mod host;
mod hub;
mod links;
mod member;
mod net;
mod server;
mod slots;
mod storage;
pub mod testing;
mod wires;

pub use builder::ServerBuilder;
pub use driver::StopReason;
pub use server::{Server, StartError, Stats, Stopped};
pub use zk_server_core::output::{CloseCounts, CloseReason};

/// The identity that `user:password` proves under the scheme `digest`: what stands in an ACL, and
/// what [`ServerBuilder::super_digest`] takes.
///
/// ```
/// let identity = zk_server_embedded::digest_identity("super:secret");
/// assert_eq!(identity, "super:lK75jTNcA+U9vtVEw5vB51mj/w4=");
/// ```
pub fn digest_identity(credentials: &str) -> String {
    zk_server_core::auth::digest::identity(credentials.as_bytes())
}
