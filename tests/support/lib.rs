//! What the suites share: real servers to judge us by, our own servers, and a bare connection.
//!
//! ```text
//!  subject    a server under test: ours in this process, our binary, Apache 3.9.5, Apache 3.8
//!  peers      where the real components are (`eval "$(.ci/peers)"`)
//!  process    a child that dies with its handle, its output kept for the failure report
//!  relay      a wire between a client and a server that can be cut
//!  raw        one connection, frame by frame, that may send what no client would
//!  clocks     a clock for clients that goes on by hand
//!  load       every kind of transaction
//!  masked     replies with times, session ids and passwords taken out
//!  golden     conversations captured from Apache 3.9.5
//!  foreign    Curator and kazoo in processes of their own
//!  volume     a file system with the faults of real ones
//!  dump       a whole tree, read through any server
//! ```
//!
//! Servers listen on the loopback address only, each on a port and in a directory of its own.

#![expect(
    clippy::missing_panics_doc,
    reason = "whatever goes wrong here fails the test that asked for it"
)]

pub mod clocks;
pub mod dump;
pub mod foreign;
pub mod golden;
pub mod load;
pub mod masked;
pub mod patience;
pub mod peers;
pub mod ports;
pub mod process;
pub mod raw;
pub mod relay;
pub mod scratch;
pub mod subject;
pub mod volume;
