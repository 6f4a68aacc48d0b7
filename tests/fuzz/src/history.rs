//! Logs and snapshots out of choices, and what must hold of whatever recovery makes of them.

use zk_proto::{Acl, ServerId, SessionId};
use zk_server_core::{
    storage::{
        DigestPolicy, RecoverConfig, RecoverError, TornBatch,
        disk::Dir,
        log::format,
        name::Packing,
        recover,
        sim_disk::SimDisk,
        snapshot::{Node, SnapshotDecoder, SnapshotError, SnapshotSink},
    },
    tree::{Tree, TreeConfig, TreeLoader},
};

use crate::script::Script;

/// Above what any input unpacks to but a bomb.
const SNAPSHOT_BYTES_MAX: u64 = 16 << 20;

/// A way to recover.
pub fn recover_config(script: &mut Script<'_>) -> RecoverConfig {
    let choices = script.byte();
    let is = |bit: u8| choices & (1 << bit) != 0;
    RecoverConfig {
        tree: TreeConfig::default(),
        may_create: is(0),
        trusts_no_snapshot: is(1),
        torn_batch: if is(2) { TornBatch::Tail } else { TornBatch::Damage },
        boot: None,
        digest: if is(3) { DigestPolicy::Refuse } else { DigestPolicy::Report },
        member: is(4).then_some(ServerId::new(1)),
    }
}

/// Recovers. What is accepted once is mended: it is accepted again as it is, with the same state.
pub fn recover_twice(disk: &mut SimDisk, config: &RecoverConfig) {
    let before = disk.clone();
    match recover(disk, config) {
        Ok(first) => {
            first.tree.check();
            let removed = logs(&before) > logs(disk);
            let again = match recover(disk, config) {
                Ok(again) => again,
                // An older log counts again once there is none that begins behind the snapshot.
                Err(RecoverError::Damaged(_)) if removed => return,
                Err(error) => panic!("what was accepted is accepted again: {error}"),
            };
            assert_eq!(again.last_zxid, first.last_zxid);
            assert_eq!(again.tree.digest(), first.tree.digest());
            assert_eq!(again.tree.node_count(), first.tree.node_count());
            assert_eq!(again.sessions, first.sessions);
            assert!(removed || again.report.cut.is_none(), "what was torn is cut off");
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            for dir in [Dir::Data, Dir::LogData, Dir::Snapshots, Dir::Logs] {
                assert_eq!(disk.names(dir), before.names(dir), "a refusal changes nothing");
                for name in disk.names(dir) {
                    assert_eq!(disk.content(dir, &name), before.content(dir, &name), "{name}");
                }
            }
        }
    }
}

fn logs(disk: &SimDisk) -> usize {
    disk.names(Dir::Logs).iter().filter(|name| name.starts_with("log.")).count()
}

/// A log of these payloads, whole in everything but what is in them.
pub fn log_of<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = format::HEADER.to_vec();
    for (payload, zxid) in payloads.zip(1_i64..) {
        // Behind session and cxid.
        const ZXID_AT: usize = 12;
        let mut payload = payload.to_vec();
        if let Some(place) = payload.get_mut(ZXID_AT..ZXID_AT + 8) {
            place.copy_from_slice(&zxid.to_be_bytes());
        }
        format::put_record(&mut bytes, &payload);
    }
    bytes
}

/// Makes every record's checksum true whose length is possible: damage is then in the content.
pub fn settle_checksums(log: &mut [u8]) {
    let mut offset = format::HEADER.len();
    while let Some((head, rest)) =
        log.get_mut(offset..).and_then(|rest| rest.split_at_mut_checked(12))
    {
        let length = i32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let Some(payload) = usize::try_from(length).ok().and_then(|length| rest.get(..length))
        else {
            return;
        };
        let checksum = i64::from(format::checksum(payload));
        head[..8].copy_from_slice(&checksum.to_be_bytes());
        offset += format::record_bytes(payload.len());
    }
}

/// Takes a snapshot apart in pieces that the input cuts, and builds what is in it.
pub fn snapshot(packing: Packing, data: &[u8]) {
    let mut script = Script(data);
    let piece_bytes = usize::from(script.word()).max(1);
    let data = script.rest();
    let mut decoder = SnapshotDecoder::new(packing, SNAPSHOT_BYTES_MAX);
    let mut building = Building(TreeLoader::new(TreeConfig::default()));
    for piece in data.chunks(piece_bytes) {
        if decoder.feed(piece, &mut building).is_err() {
            return;
        }
    }
    let Ok(trailer) = decoder.finish() else { return };
    let tree: Tree = building.0.finish(trailer.last_zxid.unwrap_or_default());
    tree.check();
    let mut walk = tree.walk();
    let mut count = 0;
    while walk.next(&tree).is_some() {
        count += 1;
    }
    assert_eq!(count, tree.node_count());
}

struct Building(TreeLoader);

impl SnapshotSink for Building {
    fn session(&mut self, _: SessionId, _: i32) -> Result<(), SnapshotError> {
        Ok(())
    }

    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), SnapshotError> {
        self.0.acl(id, acl).map_err(SnapshotError::Tree)
    }

    fn node(&mut self, node: Node<'_>) -> Result<(), SnapshotError> {
        self.0.node(node.path, node.data, node.acl, node.stat).map_err(SnapshotError::Tree)
    }
}
