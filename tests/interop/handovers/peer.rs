//! A process that contends.

use zk_tests::foreign::{Foreign, Server};

/// Whose client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Peer {
    /// Curator's.
    Java,
    /// kazoo's.
    Python,
    /// Ours.
    Ours,
}

impl Peer {
    /// Starts a process.
    pub(crate) fn start(self, server: &Server) -> Foreign {
        match self {
            Self::Java => Foreign::java(server, "CuratorContender"),
            Self::Python => Foreign::python_among_many(server, "kazoo_contender.py"),
            Self::Ours => Foreign::ours_among_many(server, env!("CARGO_BIN_EXE_zk-contender")),
        }
    }

    /// One of each kind among some.
    pub(crate) fn kinds(peers: &[Self]) -> Vec<Self> {
        let mut kinds = Vec::new();
        for peer in peers {
            if !kinds.contains(peer) {
                kinds.push(*peer);
            }
        }
        kinds
    }
}
