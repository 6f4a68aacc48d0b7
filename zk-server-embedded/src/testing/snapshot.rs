//! What a test server holds, as plain values.

use zk_proto::{SessionId, Stat, Zxid};
use zk_server_core::peer::{NodeShown, Peer, SessionShown, WatchShown};

/// Everything a server holds at one moment, by name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The last transaction applied.
    pub zxid: Zxid,
    /// The tree's digest: equal for trees that hold the same.
    pub digest: u64,
    /// Every node, ordered by path.
    pub nodes: Vec<NodeSnapshot>,
    /// Every session, ordered by number.
    pub sessions: Vec<SessionSnapshot>,
    /// Every path that is watched, ordered by path.
    pub watches: Vec<WatchSnapshot>,
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NodeSnapshot {
    /// Its path.
    pub path: String,
    /// Its data; null and empty differ.
    pub data: Option<Vec<u8>>,
    /// Its numbers.
    pub stat: Stat,
}

/// One session.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SessionSnapshot {
    /// Its number.
    pub session: SessionId,
    /// The negotiated timeout in milliseconds.
    pub timeout_ms: i32,
    /// Whether it exists on this member only.
    pub is_local: bool,
    /// Whether it has a connection.
    pub is_connected: bool,
    /// The ephemeral nodes it owns, ordered by path.
    pub ephemerals: Vec<String>,
}

/// Who watches one path, and how. Every list is ordered by session.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WatchSnapshot {
    /// The path.
    pub path: String,
    /// The sessions that watch it in any way, each once.
    pub sessions: Vec<SessionId>,
    /// Those that hear once of a change of data or existence (`getData`, `exists`).
    pub data: Vec<SessionId>,
    /// Those that hear once of a change of the list of children.
    pub children: Vec<SessionId>,
    /// Those that hear of all this for good.
    pub persistent: Vec<SessionId>,
    /// Those that hear of everything at and below the path for good.
    pub recursive: Vec<SessionId>,
}

impl Snapshot {
    pub(crate) fn take(peer: &Peer) -> Self {
        let shown = peer.view();
        Self {
            zxid: shown.zxid,
            digest: shown.digest,
            nodes: shown.nodes.into_iter().map(NodeSnapshot::from).collect(),
            sessions: shown.sessions.into_iter().map(SessionSnapshot::from).collect(),
            watches: shown.watches.into_iter().map(WatchSnapshot::from).collect(),
        }
    }

    /// One node, if it is there.
    pub fn node(&self, path: &str) -> Option<&NodeSnapshot> {
        self.nodes.iter().find(|node| node.path == path)
    }

    /// A node's data, if the node is there; null reads as empty.
    pub fn data(&self, path: &str) -> Option<&[u8]> {
        self.node(path).map(|node| node.data.as_deref().unwrap_or_default())
    }

    /// The names of a node's children in order; none for a node that is not there.
    pub fn children(&self, path: &str) -> Vec<&str> {
        let parent = path.trim_end_matches('/');
        let names = self.nodes.iter().filter_map(|node| {
            let name = node.path.strip_prefix(parent)?.strip_prefix('/')?;
            (!name.is_empty() && !name.contains('/')).then_some(name)
        });
        names.collect()
    }

    /// One session, if it is alive.
    pub fn session(&self, session: SessionId) -> Option<&SessionSnapshot> {
        self.sessions.iter().find(|each| each.session == session)
    }

    /// The sessions that watch a path in any way.
    pub fn watchers(&self, path: &str) -> &[SessionId] {
        let watched = self.watches.iter().find(|watch| watch.path == path);
        watched.map_or(&[], |watch| watch.sessions.as_slice())
    }

    /// The paths of all ephemeral nodes.
    pub fn ephemerals(&self) -> Vec<&str> {
        let ephemeral = |node: &&NodeSnapshot| is_ephemeral(&node.stat);
        self.nodes.iter().filter(ephemeral).map(|node| node.path.as_str()).collect()
    }

    /// The paths of ephemeral nodes whose session is over.
    pub fn orphans(&self) -> Vec<&str> {
        let is_orphan = |node: &&NodeSnapshot| {
            is_ephemeral(&node.stat) && self.session(node.stat.ephemeral_owner).is_none()
        };
        self.nodes.iter().filter(is_orphan).map(|node| node.path.as_str()).collect()
    }
}

/// Whether a node goes with a session; the owners of containers and nodes with a time to live are
/// marks, not sessions.
fn is_ephemeral(stat: &Stat) -> bool {
    stat.ephemeral_owner != SessionId::NONE
}

impl From<NodeShown> for NodeSnapshot {
    fn from(shown: NodeShown) -> Self {
        let NodeShown { path, data, stat } = shown;
        Self { path, data, stat }
    }
}

impl From<SessionShown> for SessionSnapshot {
    fn from(shown: SessionShown) -> Self {
        let SessionShown { session, timeout_ms, is_local, is_connected, ephemerals } = shown;
        Self { session, timeout_ms, is_local, is_connected, ephemerals }
    }
}

impl From<WatchShown> for WatchSnapshot {
    fn from(shown: WatchShown) -> Self {
        let WatchShown { path, sessions, data, children, persistent, recursive } = shown;
        Self { path, sessions, data, children, persistent, recursive }
    }
}
