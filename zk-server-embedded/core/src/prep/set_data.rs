//! setData.

use zk_proto::{
    ErrorCode, Perms,
    client::SetDataRequest,
    txn::{DataTxn, Txn},
};

use super::{Scene, legal, text};

impl Scene<'_> {
    /// `setData`.
    ///
    /// # Errors
    /// The first rule of the table that is broken.
    // spec: server-semantics.md 3.4; the quota comes before the version
    pub fn set_data(&self, request: &SetDataRequest<'_>) -> Result<Txn, ErrorCode> {
        // Null is judged like every other path that is not legal.
        let path = text(request.path).map_err(|_| ErrorCode::BadArguments)?;
        self.live_session()?;
        legal(&path)?;
        let node = self.node(&path)?;
        self.may(node.acl(), Perms::WRITE)?;
        let length = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let growth = length(request.data.map_or(0, <[u8]>::len)) - length(node.data_length());
        self.quota(&path, 0, growth)?;
        let current = node.stat().version;
        if !request.version.accepts(current) {
            return Err(ErrorCode::BadVersion);
        }
        Ok(Txn::SetData(DataTxn {
            path: path.into(),
            data: request.data.map(Into::into),
            version: current.following(),
        }))
    }
}
