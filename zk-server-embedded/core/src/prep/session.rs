//! Ending a session, with everything it owns.

use zk_proto::{SessionId, txn::Txn};

use super::Pending;
use crate::{config::PeerConfig, tree::Tree};

/// The transaction that ends `session`. It takes along the nodes the session will own by then,
/// those that are only proposed included.
pub fn close(config: &PeerConfig, tree: &Tree, pending: &Pending, session: SessionId) -> Txn {
    let paths = config.close_session_lists_paths.then(|| pending.owned_by(tree, session));
    #[cfg(planted_bugs)]
    let paths = paths.map(|mut paths| {
        if crate::planted::is(crate::planted::Bug::EphemeralLeft) {
            paths.pop();
        }
        paths
    });
    Txn::CloseSession(paths)
}
