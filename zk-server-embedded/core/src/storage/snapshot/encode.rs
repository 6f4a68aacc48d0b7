//! Writes a snapshot in bounded steps while the tree moves on.
//!
//! What the tree has at the start decides: sessions and ACLs are taken down at once, nodes as the
//! walk comes by. A node whose ACL appeared later is written as open to everybody: the transaction
//! that gave it the ACL comes after the snapshot's name, so replay puts it right before anybody can
//! look.

use alloc::{collections::BTreeSet, vec::Vec};

use zk_proto::{
    SessionId, Zxid,
    jute::{Encode, Writer},
    txn::TxnDigest,
};

use super::{END, HEADER};
use crate::{
    storage::checksum::Checksum,
    tree::{NodeRef, Tree, Walk},
};

/// One snapshot being written.
#[derive(Debug)]
pub struct SnapshotEncoder {
    zxid: Zxid,
    form: Form,
    /// Bytes that are not taken yet.
    writer: Writer,
    checksum: Checksum,
    acls: BTreeSet<i64>,
    walk: Option<Walk>,
}

/// What stands around the nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// A file: header and seals, and the digest where the tree keeps one.
    File { has_digest: bool },
    /// What a leader sends: nothing but the `/` behind the last node.
    // quorum-protocol.md 4.5
    Stream,
}

/// Whether a snapshot is complete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Call again.
    More,
    /// All bytes were handed out.
    Done,
}

/// The number of the ACL that needs no entry.
// ZooKeeper: ReferenceCountedACLCache.OPEN_UNSAFE_ACL_ID
const OPEN_ACL: i64 = -1;

impl SnapshotEncoder {
    /// Begins a snapshot of the tree as it is, and of these sessions with their timeouts in
    /// milliseconds. `has_digest` says whether the tree keeps a digest.
    pub fn new(
        tree: &Tree,
        sessions: impl Iterator<Item = (SessionId, i32)>,
        has_digest: bool,
    ) -> Self {
        Self::begin(tree, sessions, Form::File { has_digest })
    }

    /// Begins what a leader sends to a learner that is too far behind: the same without header and
    /// seals.
    // quorum-protocol.md 4.5
    pub fn stream(tree: &Tree, sessions: impl Iterator<Item = (SessionId, i32)>) -> Self {
        Self::begin(tree, sessions, Form::Stream)
    }

    fn begin(tree: &Tree, sessions: impl Iterator<Item = (SessionId, i32)>, form: Form) -> Self {
        let mut writer = Writer::new();
        if form != Form::Stream {
            writer.raw(&HEADER);
        }
        let sessions: Vec<_> = sessions.collect();
        writer.i32(count(sessions.len()));
        for (session, timeout_ms) in sessions {
            session.encode(&mut writer);
            writer.i32(timeout_ms);
        }
        let acls: Vec<_> = tree.acl_entries().collect();
        writer.i32(count(acls.len()));
        for (id, acl) in &acls {
            writer.i64(*id);
            acl.encode(&mut writer);
        }
        Self {
            zxid: tree.last_zxid(),
            form,
            writer,
            checksum: Checksum::new(),
            acls: acls.iter().map(|&(id, _)| id).collect(),
            walk: Some(tree.walk()),
        }
    }

    /// The number the snapshot's name carries.
    pub const fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// Appends about `bytes_max` more bytes to `out`; at least one node, so that there is an end.
    pub fn step(&mut self, tree: &Tree, out: &mut Vec<u8>, bytes_max: usize) -> Step {
        while let Some(walk) = &mut self.walk {
            match walk.next(tree) {
                Some(node) => put_node(&mut self.writer, node, &self.acls),
                None => self.finish(tree),
            }
            if self.writer.len() >= bytes_max {
                break;
            }
        }
        self.checksum.write(self.writer.as_slice());
        out.extend_from_slice(self.writer.as_slice());
        self.writer.clear();
        if self.walk.is_some() { Step::More } else { Step::Done }
    }

    fn finish(&mut self, tree: &Tree) {
        self.walk = None;
        self.writer.string("/");
        let Form::File { has_digest } = self.form else { return };
        self.seal();
        if has_digest {
            tree.last_zxid().encode(&mut self.writer);
            self.writer.i32(TxnDigest::VERSION);
            self.writer.i64(tree.digest().cast_signed());
            self.seal();
        }
        tree.last_zxid().encode(&mut self.writer);
        self.seal();
    }

    /// Writes the checksum of everything in front of it.
    fn seal(&mut self) {
        let mut checksum = self.checksum;
        checksum.write(self.writer.as_slice());
        self.writer.i64(i64::from(checksum.get()));
        self.writer.raw(&END);
    }
}

fn put_node(writer: &mut Writer, node: NodeRef<'_>, acls: &BTreeSet<i64>) {
    // The root's path is empty here; "/" alone ends the nodes.
    let path = if node.path() == "/" { "" } else { node.path() };
    writer.string(path);
    writer.buffer(node.data());
    let acl = node.acl_id();
    writer.i64(if acls.contains(&acl) { acl } else { OPEN_ACL });
    node.persisted().encode(writer);
}

fn count(items: usize) -> i32 {
    i32::try_from(items).expect("a server holds fewer than 2^31 sessions and ACLs")
}
