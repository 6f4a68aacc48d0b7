//! delete, and the removal of containers and nodes whose time to live is up.

use zk_proto::{ErrorCode, Perms, client::DeleteRequest, txn::Txn};

use super::{Scene, parent, text};
use crate::tree::Owner;

/// Nodes that the server itself needs.
// ZooKeeper: DataTree.isSpecialPath
const SPECIAL: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

impl Scene<'_> {
    /// `delete`.
    ///
    /// # Errors
    /// The first rule of the table that is broken.
    // spec: server-semantics.md 3.2, row by row
    pub fn delete(&self, request: &DeleteRequest<'_>) -> Result<Txn, ErrorCode> {
        let path = text(request.path)?;
        self.live_session()?;
        let parent_path = parent(&path)?;
        if SPECIAL.contains(&&*path) {
            return Err(ErrorCode::BadArguments);
        }
        let parent = self.node(parent_path)?;
        self.may(parent.acl(), Perms::DELETE)?;
        let node = self.node(&path)?;
        if !request.version.accepts(node.stat().version) {
            return Err(ErrorCode::BadVersion);
        }
        if node.children() > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        Ok(Txn::Delete(path.into()))
    }

    /// The server's own removal of a node that the scan found to be due.
    ///
    /// # Errors
    /// When the node is gone, has children again, or belongs to a session.
    // spec: server-semantics.md 3.3
    pub fn delete_container(&self, path: &str) -> Result<Txn, ErrorCode> {
        let node = self.node(path)?;
        if node.children() > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        match Owner::from_raw(node.stat().owner, self.config.extended_types) {
            Some(Owner::Container | Owner::Ttl(_)) => Ok(Txn::DeleteContainer(path.into())),
            // Something else took the name since the scan.
            Some(Owner::Persistent | Owner::Ephemeral(_)) | None => Err(ErrorCode::BadVersion),
        }
    }
}
