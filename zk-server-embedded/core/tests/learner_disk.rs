//! A learner with its disk: whatever stops it, and wherever, what it has acknowledged is there
//! when it starts again, and the next attempt succeeds.
//!
//! reliability.md F1, F2, F35 to F37, I2, I11, I13, I14, rules 4, 5, 8, 10

use zk_proto::{
    Acl, ConnId, Epoch, Instant, ServerId, SessionId, Version, WallMillis, Xid, Zxid,
    jute::{Writer, encode},
    quorum::{FromLeader, FromLearner, LeaderInfo, SNAPSHOT_SIGNATURE, split_packet},
    txn::{CreateKind, CreateTxn, Txn, TxnHeader, TxnRecord},
};
use zk_server_core::{
    member::MemberStart,
    storage::{
        RecoverConfig, SnapshotEncoder, Step,
        disk::{Dir, DiskError},
        epoch_file::EpochFile,
        log::{Batch, Preallocation},
        recover_member,
        sim_disk::{SimDisk, SimFault},
        store::{Command, Event, Left, Store, StoreConfig},
    },
    tree::{Tree, TreeConfig},
    zab::{
        History,
        learner::{Input, Learner, LearnerConfig, Output},
    },
};

const LINK: ConnId = ConnId::new(1);
const PACKET_BYTES_MAX: usize = 1 << 20;
const FAULTS: [SimFault; 3] = [SimFault::CrashBefore, SimFault::CrashTorn, SimFault::CrashAfter];

/// How the leader of epoch 5 makes a member's history its own.
#[derive(Clone, Copy, Debug)]
enum Way {
    Diff,
    Trunc(Zxid),
    Snap,
}

/// The leader's history, the last of it proposed in epoch 5.
fn leader() -> Vec<Zxid> {
    let of = |epoch, count| (1..=count).map(move |counter| at(epoch, counter));
    of(3, 4).chain(of(4, 3)).chain(of(5, 4)).collect()
}

#[test]
fn f36_f37_whatever_stops_a_learner_what_it_acknowledged_is_there() {
    let of_leader = |count: usize| leader().into_iter().take(count).collect::<Vec<_>>();
    let ahead = |count, more: &[Zxid]| [of_leader(count).as_slice(), more].concat();
    let cases: [(&str, Vec<Zxid>, Way); 6] = [
        ("behind", of_leader(2), Way::Diff),
        ("a new member", vec![], Way::Diff),
        ("ahead", ahead(4, &[at(3, 5), at(3, 6)]), Way::Trunc(at(3, 4))),
        ("far behind", of_leader(1), Way::Snap),
        ("ahead and elsewhere", ahead(4, &[at(3, 5), at(3, 6)]), Way::Snap),
        ("a new member, all at once", vec![], Way::Snap),
    ];
    for (what, logged, way) in cases {
        let disk = member(&logged);
        let mut whole = Member::start(disk.clone());
        let begun = whole.disk.operations();
        whole.follow(way).expect("the disk works");
        whole.assert_followed(&what);
        assert_eq!(whole.acked.last, leader().last().copied(), "{what}");
        let operations = whole.disk.operations();
        assert!(operations > begun + 10, "{what}");
        for operation in begun + 1..=operations {
            for fault in FAULTS {
                let context = (what, operation, fault);
                let mut disk = disk.clone();
                disk.plant(operation, fault);
                let mut stopped = Member::start(disk);
                assert!(stopped.follow(way).is_err(), "{context:?}");
                let acked = stopped.acked.clone();
                let mut disk = stopped.disk;
                disk.lose_power(operation.wrapping_mul(31));

                let mut again = Member::start(disk);
                again.assert_holds(&acked, &logged, &context);
                again.follow_anew().unwrap_or_else(|error| panic!("{context:?}: {error}"));
                again.assert_followed(&context);
            }
        }
    }
}

#[test]
fn a_learner_that_is_left_in_the_middle_starts_from_its_disk() {
    // No crash: the leader dies after each of its packets, and another one comes.
    for (logged, way) in [
        (vec![at(3, 1), at(3, 2)], Way::Diff),
        (vec![at(3, 1), at(3, 2), at(3, 3), at(3, 4), at(3, 5)], Way::Trunc(at(3, 4))),
        (vec![at(3, 1)], Way::Snap),
    ] {
        for packets in 0..40 {
            let mut member = Member::start(member(&logged));
            member.packets_left = Some(packets);
            member.follow(way).expect("the disk works");
            let acked = member.acked.clone();
            let mut disk = member.disk;
            disk.restart_process();
            let mut again = Member::start(disk);
            again.assert_holds(&acked, &logged, &packets);
            again.follow_anew().expect("the disk works");
            again.assert_followed(&packets);
        }
    }
}

#[test]
fn i14_what_a_member_acknowledges_after_it_was_given_everything_counts_at_its_next_start() {
    // reliability.md rule 8: the directory of a member in doubt says so until the epoch is saved.
    let mut disk = member(&[at(3, 1), at(3, 2)]);
    let mut promised = Member::start(disk.clone());
    for file in [EpochFile::Accepted, EpochFile::Current] {
        let save = Command::SaveEpoch { file, epoch: Epoch::new(5) };
        promised.store.take(&mut promised.disk, save).expect("the disk works");
    }
    disk = promised.disk;
    disk.damage(Dir::Logs, "log.300000001", |bytes| bytes[60] ^= 1);
    disk.restart_process();

    let mut member = Member::start(disk);
    assert!(member.start.is_doubtful);
    assert_eq!(member.start.epochs.current, Epoch::new(5));
    // The link breaks while everything that came is being written. It is written all the same.
    member.breaks_while_it_installs = true;
    member.follow(Way::Snap).expect("the disk works");
    assert!(!member.is_established && !member.acked.has_epoch);
    member.breaks_while_it_installs = false;
    member.packets_left = None;
    // The same leader again.
    member.start.is_doubtful = false;
    member.start.recovered.last_zxid = member.tree.last_zxid();
    member.follow(Way::Diff).expect("the disk works");
    assert_eq!(member.acked.last, leader().last().copied());
    member.assert_followed(&"the same leader again");
}

/// What a learner has told its leader.
#[derive(Clone, Debug, Default)]
struct Acked {
    promised: bool,
    has_epoch: bool,
    last: Option<Zxid>,
}

struct Member {
    disk: SimDisk,
    store: Store,
    start: MemberStart,
    tree: Tree,
    acked: Acked,
    /// What of the leader's history was decided and applied.
    is_established: bool,
    /// After so many packets the leader dies.
    packets_left: Option<usize>,
    /// Whether the link breaks before the leader's state is installed.
    breaks_while_it_installs: bool,
}

impl Member {
    fn start(mut disk: SimDisk) -> Self {
        let mut start = recover_member(&mut disk, &recover_config()).expect("the disk works");
        let store = Store::for_member(&start, store_config(), Instant::ORIGIN);
        let tree = std::mem::replace(&mut start.recovered.tree, Tree::new(TreeConfig::default()));
        let (acked, is_established, packets_left) = (Acked::default(), false, None);
        let breaks_while_it_installs = false;
        Self {
            disk,
            store,
            start,
            tree,
            acked,
            is_established,
            packets_left,
            breaks_while_it_installs,
        }
    }

    /// A second attempt, in the way a leader would choose now.
    fn follow_anew(&mut self) -> Result<(), DiskError> {
        let last = self.start.recovered.last_zxid;
        let way = if last == Zxid::ZERO || self.start.is_doubtful {
            Way::Snap
        } else if leader().contains(&last) {
            Way::Diff
        } else {
            Way::Trunc(at(3, 4))
        };
        self.follow(way)
    }

    fn follow(&mut self, way: Way) -> Result<(), DiskError> {
        let MemberStart { epochs, is_doubtful, .. } = self.start;
        let history = History {
            accepted: epochs.accepted,
            current: epochs.current,
            last: self.start.recovered.last_zxid,
            is_doubtful,
        };
        let mut learner = Learner::new(config(), ServerId::new(3), history, Instant::ORIGIN);
        self.tell(&mut learner, Input::Dialled { link: LINK })?;
        for bytes in script(way, history.last) {
            if self.packets_left == Some(0) {
                return self.tell(&mut learner, Input::Closed { link: LINK });
            }
            self.packets_left = self.packets_left.map(|left| left - 1);
            self.tell(&mut learner, Input::Bytes { link: LINK, bytes: &bytes })?;
        }
        self.is_established = learner.is_established();
        self.store.shut_down(&mut self.disk)
    }

    fn tell(&mut self, learner: &mut Learner, input: Input<'_>) -> Result<(), DiskError> {
        learner.handle(Instant::ORIGIN, input);
        while let Some(output) = learner.poll_output() {
            self.carry_out(learner, output)?;
        }
        // What storage says, it says between two packets.
        self.store.flush(&mut self.disk)?;
        while let Some(event) = self.store.poll_event() {
            let input = match event {
                Event::Synced { zxid } => Input::Synced { zxid },
                Event::EpochSaved(file) => Input::EpochSaved(file),
                Event::CannotTruncate => Input::CannotTruncate,
                Event::Truncated(recovered) => {
                    let last = recovered.last_zxid;
                    self.tree = recovered.tree;
                    Input::Truncated { last }
                }
                Event::SnapshotDone { is_good } => {
                    assert!(is_good);
                    Input::Installed
                }
                Event::SnapshotPartTaken | Event::LogRead { .. } => continue,
            };
            self.tell(learner, input)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, learner: &mut Learner, output: Output) -> Result<(), DiskError> {
        let command = match output {
            Output::Append(proposal) => {
                Command::Append { batch: Batch::of(proposal.zxid, &proposal.payload) }
            }
            Output::SaveEpoch { file, epoch } => Command::SaveEpoch { file, epoch },
            Output::Truncate { last } => Command::Truncate { last },
            Output::Replace(snapshot) => {
                self.tree = snapshot.tree;
                return Ok(());
            }
            Output::Install => {
                if self.breaks_while_it_installs {
                    self.packets_left = Some(0);
                    learner.handle(Instant::ORIGIN, Input::Closed { link: LINK });
                }
                return self.install();
            }
            Output::Apply(proposal) => {
                apply(&mut self.tree, &proposal.payload);
                return Ok(());
            }
            Output::Send { link } => {
                let out = learner.outgoing(link).expect("it is ours");
                let bytes = out.as_slice().to_vec();
                out.clear();
                self.hear(&bytes);
                return Ok(());
            }
            Output::Lost(loss) => {
                assert!(self.packets_left == Some(0), "{loss:?}");
                return Ok(());
            }
            Output::Dial { .. }
            | Output::Pause { .. }
            | Output::Resume { .. }
            | Output::Close { .. }
            | Output::Established { .. }
            | Output::NextConfig { .. }
            | Output::Config { .. }
            | Output::SyncReady
            | Output::SessionChecked { .. }
            | Output::Ping => return Ok(()),
        };
        self.store.take(&mut self.disk, command)
    }

    fn install(&mut self) -> Result<(), DiskError> {
        let zxid = self.tree.last_zxid();
        self.store.take(&mut self.disk, Command::SnapshotBegin { zxid, replaces: true })?;
        let bytes = snapshot(&self.tree);
        self.store.take(&mut self.disk, Command::SnapshotPart { bytes })?;
        self.store.take(&mut self.disk, Command::SnapshotEnd)?;
        while self.store.background(&mut self.disk, Instant::ORIGIN)? == Left::More {}
        Ok(())
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let split = split_packet(bytes, PACKET_BYTES_MAX).expect("our own").expect("whole");
            bytes = &bytes[split.length..];
            match FromLearner::read(&split.packet).expect("our own") {
                FromLearner::AckEpoch(..) => self.acked.promised = true,
                FromLearner::Ack(zxid) if zxid == at(5, 0) => self.acked.has_epoch = true,
                FromLearner::Ack(zxid) => self.acked.last = self.acked.last.max(Some(zxid)),
                FromLearner::FollowerInfo(..) => {}
                other @ (FromLearner::ObserverInfo(..)
                | FromLearner::Ping(..)
                | FromLearner::Revalidate(_)
                | FromLearner::Request(..)) => panic!("{other:?}"),
            }
        }
    }

    /// What a member starts from holds everything it has acknowledged and nothing that was cut.
    fn assert_holds(&self, acked: &Acked, logged: &[Zxid], context: &dyn std::fmt::Debug) {
        let MemberStart { epochs, is_doubtful, recovered, .. } = &self.start;
        let last = recovered.last_zxid;
        assert!(!is_doubtful, "{context:?}: nothing was damaged");
        assert!(epochs.current <= epochs.accepted, "{context:?}: {epochs:?}");
        assert!(last.epoch() <= epochs.current, "{context:?}: {epochs:?} {last:?}");
        if acked.promised {
            assert_eq!(epochs.accepted, Epoch::new(5), "{context:?}");
        }
        // Who says that it has the leader's history has all of what the leader began with.
        if acked.has_epoch || epochs.current == Epoch::new(5) {
            assert!(last >= at(4, 3), "{context:?}: {last:?}");
            assert!(leader().contains(&last), "{context:?}: {last:?}");
        }
        assert!(acked.has_epoch || acked.last.is_none(), "{context:?}");
        if acked.has_epoch {
            assert_eq!(epochs.current, Epoch::new(5), "{context:?}");
        }
        assert!(acked.last.is_none_or(|acked| acked <= last), "{context:?}: {acked:?} {last:?}");
        // Its own history, or the leader's, and nothing between.
        let of = |history: &[Zxid]| {
            let place = history.iter().position(|&zxid| zxid == last);
            place.map(|place| digest(&history[..=place]))
        };
        let digests = [of(logged), of(&leader()), (last == Zxid::ZERO).then(|| digest(&[]))];
        assert!(digests.contains(&Some(self.tree.digest())), "{context:?}: {last:?}");
    }

    fn assert_followed(&mut self, context: &dyn std::fmt::Debug) {
        let expected = digest(&leader());
        assert!(self.is_established, "{context:?}");
        assert_eq!(self.tree.digest(), expected, "{context:?}");
        let mut disk = self.disk.clone();
        disk.lose_power(5);
        let start = recover_member(&mut disk, &recover_config()).expect("the disk works");
        assert!(!start.is_doubtful, "{context:?}");
        assert_eq!(start.recovered.tree.digest(), expected, "{context:?}");
        assert_eq!(start.epochs.current, Epoch::new(5), "{context:?}");
    }
}

/// What the leader says, packet by packet. The transactions of epoch 5 come behind NEWLEADER, or
/// around it.
fn script(way: Way, last: Zxid) -> Vec<Vec<u8>> {
    let info = LeaderInfo { protocol_version: 0x1_0000 };
    let mut said = vec![encode(&FromLeader::LeaderInfo(at(5, 0), info))];
    let reached = match way {
        Way::Diff => {
            said.push(encode(&FromLeader::Diff(at(4, 3).max(last))));
            last
        }
        Way::Trunc(zxid) => {
            said.push(encode(&FromLeader::Trunc(zxid)));
            zxid
        }
        Way::Snap => {
            said.push(encode(&FromLeader::Snap(at(3, 4))));
            let mut tree = Tree::new(TreeConfig::default());
            for zxid in leader().into_iter().take(4) {
                apply(&mut tree, &payload(zxid));
            }
            said.push(stream(&tree));
            at(3, 4)
        }
    };
    let history = leader();
    let missing = || history.iter().copied().filter(|&zxid| zxid > reached);
    let propose = |zxid| encode(&FromLeader::Proposal(zxid, &payload(zxid)));
    for zxid in missing().filter(|&zxid| zxid < at(5, 0)) {
        said.extend([propose(zxid), encode(&FromLeader::Commit(zxid))]);
    }
    let live: Vec<_> = missing().filter(|&zxid| zxid > at(5, 0)).collect();
    said.extend(live.first().map(|&zxid| propose(zxid)));
    said.push(encode(&FromLeader::NewLeader(at(5, 0), "servers".into())));
    said.extend(live.first().map(|&zxid| encode(&FromLeader::Commit(zxid))));
    said.push(encode(&FromLeader::UpToDate));
    for &zxid in live.iter().skip(1) {
        said.extend([propose(zxid), encode(&FromLeader::Commit(zxid))]);
    }
    said
}

/// A member of epoch 3 with these transactions.
fn member(logged: &[Zxid]) -> SimDisk {
    let mut disk = SimDisk::new(false);
    let start = recover_member(&mut disk, &recover_config()).expect("the disk works");
    let mut store = Store::for_member(&start, store_config(), Instant::ORIGIN);
    for file in [EpochFile::Accepted, EpochFile::Current] {
        let save = Command::SaveEpoch { file, epoch: Epoch::new(3) };
        store.take(&mut disk, save).expect("the disk works");
    }
    for &zxid in logged {
        let batch = Batch::of(zxid, &payload(zxid));
        store.take(&mut disk, Command::Append { batch }).expect("the disk works");
    }
    store.shut_down(&mut disk).expect("the disk works");
    assert!(disk.content(Dir::Snapshots, "member-standing").is_some());
    disk
}

fn payload(zxid: Zxid) -> Vec<u8> {
    let txn = Txn::Create(CreateTxn {
        path: format!("/n{:x}", zxid.get()).into(),
        data: Some(vec![7; 200].into()),
        acl: Acl::open().into(),
        parent_cversion: Version::ANY,
        kind: CreateKind::Create { ephemeral: false },
    });
    let (session, xid, time) = (SessionId::NONE, Xid::new(1), WallMillis::new(1));
    let header = TxnHeader { session, xid, zxid, time, kind: txn.kind() };
    encode(&TxnRecord { header, txn, digest: None })
}

fn apply(tree: &mut Tree, payload: &[u8]) {
    let record = TxnRecord::decode(payload, payload.len()).expect("our own");
    tree.apply(&record.header, record.txn);
}

fn digest(history: &[Zxid]) -> u64 {
    let mut tree = Tree::new(TreeConfig::default());
    for &zxid in history {
        apply(&mut tree, &payload(zxid));
    }
    tree.digest()
}

fn snapshot(tree: &Tree) -> Vec<u8> {
    let mut encoder = SnapshotEncoder::new(tree, [].into_iter(), true);
    let mut bytes = Vec::new();
    while encoder.step(tree, &mut bytes, 10_000) == Step::More {}
    bytes
}

/// The body of a snapshot without header, seals and trailer, and the signature.
fn stream(tree: &Tree) -> Vec<u8> {
    let mut encoder = SnapshotEncoder::new(tree, [].into_iter(), false);
    let mut bytes = Vec::new();
    while encoder.step(tree, &mut bytes, 10_000) == Step::More {}
    let seal = 8 + 5;
    bytes.truncate(bytes.len() - 2 * seal - 8);
    bytes.drain(..16);
    let mut writer = Writer::new();
    writer.string(SNAPSHOT_SIGNATURE);
    bytes.extend_from_slice(writer.as_slice());
    bytes
}

const fn at(epoch: u32, counter: u32) -> Zxid {
    Zxid::from_parts(Epoch::new(epoch), counter)
}

fn config() -> LearnerConfig {
    LearnerConfig {
        me: ServerId::new(2),
        is_observer: false,
        tick_ms: 1_000,
        init_ticks: 10,
        sync_ticks: 5,
        config_version: Zxid::ZERO,
        packet_bytes_max: PACKET_BYTES_MAX,
        pending_bytes_max: 1 << 26,
        sync_bytes_max: 1 << 26,
        tree: TreeConfig::default(),
    }
}

fn recover_config() -> RecoverConfig {
    RecoverConfig { member: Some(ServerId::new(1)), ..RecoverConfig::default() }
}

fn store_config() -> StoreConfig {
    StoreConfig {
        preallocation: Preallocation { step_bytes_min: 4_096, step_bytes_max: 16_384 },
        recover: recover_config(),
        ..StoreConfig::default()
    }
}
