//! A whole tree, read through a server.

use std::{collections::BTreeMap, net::SocketAddr};

use zk_proto::{
    Acl, ErrorCode, Stat,
    client::{AclResponse, ChildrenResponse, DataResponse, OpCode},
};

use crate::raw::Raw;

/// Everything a client can see of one node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// Null and empty differ.
    pub data: Option<Vec<u8>>,
    /// As stored.
    pub stat: Stat,
    /// As stored.
    pub acl: Vec<Acl>,
}

/// Everything a client can see, by path.
pub type Tree = BTreeMap<String, Node>;

/// Reads the whole tree as a super user with the password of [`SUPER`].
///
/// # Panics
/// When something cannot be read.
pub async fn tree(address: SocketAddr) -> Tree {
    let mut raw = Raw::open(address).await;
    assert_eq!(raw.auth("digest", SUPER.as_bytes()).await, ErrorCode::Ok);
    let mut tree = Tree::new();
    let mut paths = vec!["/".to_owned()];
    while let Some(path) = paths.pop() {
        let reply = raw.see(OpCode::GetData, &path, false).await;
        let data = reply.read::<DataResponse<'_>>();
        let acl = raw.at(OpCode::GetAcl, &path).await.read::<AclResponse>().acl;
        let children = raw.see(OpCode::GetChildren, &path, false).await;
        for name in children.read::<ChildrenResponse<'_>>().children {
            let name = name.text().expect("a name");
            paths.push(if path == "/" { format!("/{name}") } else { format!("{path}/{name}") });
        }
        let node = Node { data: data.data.map(<[u8]>::to_vec), stat: data.stat, acl };
        tree.insert(path, node);
    }
    raw.close().await;
    tree
}

/// Credentials of the super user, for `digest`.
pub const SUPER: &str = "super:secret";

/// What goes with them into the configuration as `DigestAuthenticationProvider.superDigest`.
pub const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

/// Names the first differences between two trees; empty when there is none.
pub fn differences(left: &Tree, right: &Tree) -> Vec<String> {
    let paths = left.keys().chain(right.keys()).collect::<std::collections::BTreeSet<_>>();
    let differing = paths.into_iter().filter(|path| left.get(*path) != right.get(*path));
    differing
        .take(20)
        .map(|path| format!("{path}\n  {:?}\n  {:?}", left.get(path), right.get(path)))
        .collect()
}
