//! check, inside a multi.

use zk_proto::{ErrorCode, Perms, client::CheckRequest, txn::Txn};

use super::{Scene, legal, text};

impl Scene<'_> {
    /// `check`.
    ///
    /// # Errors
    /// The first rule of the table that is broken.
    // spec: server-semantics.md 3.6
    pub fn check(&self, request: &CheckRequest<'_>) -> Result<Txn, ErrorCode> {
        let path = text(request.path)?;
        self.live_session()?;
        legal(&path)?;
        let node = self.node(&path)?;
        self.may(node.acl(), Perms::READ)?;
        let current = node.stat().version;
        if !request.version.accepts(current) {
            return Err(ErrorCode::BadVersion);
        }
        // ZooKeeper: the log keeps the version after this one.
        Ok(Txn::Check(path.into(), current.following()))
    }
}
