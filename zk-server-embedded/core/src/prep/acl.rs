//! setACL.

use zk_proto::{
    ErrorCode, Perms,
    client::SetAclRequest,
    txn::{AclTxn, Txn},
};

use super::{Scene, legal, text};
use crate::auth;

impl Scene<'_> {
    /// `setACL`.
    ///
    /// # Errors
    /// The first rule of the table that is broken.
    // spec: server-semantics.md 3.5
    pub fn set_acl(&self, request: &SetAclRequest<'_>) -> Result<Txn, ErrorCode> {
        // Null is judged like every other path that is not legal.
        let path = text(request.path).map_err(|_| ErrorCode::BadArguments)?;
        self.live_session()?;
        legal(&path)?;
        let acl = auth::fix_acl(self.config, request.acl.as_deref(), self.caller.identities)?;
        let node = self.node(&path)?;
        self.may(node.acl(), Perms::ADMIN)?;
        let current = node.stat().aversion;
        if !request.version.accepts(current) {
            return Err(ErrorCode::BadVersion);
        }
        Ok(Txn::SetAcl(AclTxn { path: path.into(), acl, version: current.following() }))
    }
}
