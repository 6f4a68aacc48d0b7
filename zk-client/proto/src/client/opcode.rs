//! What a request asks for.

use crate::numbered::numbered;

numbered! {
    /// The operation of a request.
    pub enum OpCode {
        /// Creates a node; answers its path.
        Create = 1 "create",
        /// Deletes a node.
        Delete = 2 "delete",
        /// Asks for a node's stat.
        Exists = 3 "exists",
        /// Asks for data and stat.
        GetData = 4 "getData",
        /// Sets data.
        SetData = 5 "setData",
        /// Asks for the ACL.
        GetAcl = 6 "getACL",
        /// Sets the ACL.
        SetAcl = 7 "setACL",
        /// Lists children.
        GetChildren = 8 "getChildren",
        /// Waits until this server has caught up with the leader.
        Sync = 9 "sync",
        /// Keeps the session alive.
        Ping = 11 "ping",
        /// Lists children, with the node's stat.
        GetChildren2 = 12 "getChildren2",
        /// Compares a version; only inside a multi.
        Check = 13 "check",
        /// Several writes, all or none.
        Multi = 14 "multi",
        /// Creates a node; answers path and stat.
        Create2 = 15 "create2",
        /// Changes the ensemble's membership.
        Reconfig = 16 "reconfig",
        /// Asks whether a watch is set.
        CheckWatches = 17 "checkWatches",
        /// Removes watches.
        RemoveWatches = 18 "removeWatches",
        /// Creates a container, which goes when its last child has gone.
        CreateContainer = 19 "createContainer",
        /// Removes an empty container; servers only.
        DeleteContainer = 20 "deleteContainer",
        /// Creates a node with a time to live.
        CreateTtl = 21 "createTTL",
        /// Several reads at once.
        MultiRead = 22 "multiRead",
        /// Presents credentials.
        Auth = 100 "auth",
        /// Sets one-shot watches again after a reconnect.
        SetWatches = 101 "setWatches",
        /// Carries a token of a SASL exchange.
        Sasl = 102 "sasl",
        /// Lists the session's own ephemeral nodes.
        GetEphemerals = 103 "getEphemerals",
        /// Counts all descendants.
        GetAllChildrenNumber = 104 "getAllChildrenNumber",
        /// Sets watches of all kinds again after a reconnect.
        SetWatches2 = 105 "setWatches2",
        /// Adds a persistent watch.
        AddWatch = 106 "addWatch",
        /// Asks who the server takes the caller for.
        WhoAmI = 107 "whoAmI",
        /// Opens a session; servers only.
        CreateSession = -10 "createSession",
        /// Ends the session.
        CloseSession = -11 "closeSession",
    }
}

impl OpCode {
    /// Whether the operation is for servers among themselves; a client that sends it is refused.
    pub const fn is_internal(self) -> bool {
        matches!(self, Self::DeleteContainer | Self::CreateSession)
    }

    /// Whether the operation becomes a transaction.
    pub const fn is_write(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::Delete
                | Self::SetData
                | Self::SetAcl
                | Self::Multi
                | Self::Create2
                | Self::Reconfig
                | Self::CreateContainer
                | Self::DeleteContainer
                | Self::CreateTtl
                | Self::CreateSession
                | Self::CloseSession
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_survives_its_number() {
        for &op in OpCode::ALL {
            assert_eq!(OpCode::new(op.get()), Some(op));
        }
        for unknown in [0, 10, -1, 23, 99, 108] {
            assert_eq!(OpCode::new(unknown), None);
        }
    }
}
