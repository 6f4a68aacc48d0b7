//! One learner, its storage and its leader, as a transcript.

use std::time::Duration;

use zk_proto::{
    ConnId, Epoch, Instant, ServerId, SessionId, WallMillis, Xid, Zxid,
    jute::encode,
    quorum::{EpochAnswer, FromLeader, FromLearner, LeaderInfo, split_packet},
    txn::{Txn, TxnHeader, TxnRecord},
};
use zk_server_core::{
    storage::epoch_file::EpochFile,
    tree::TreeConfig,
    zab::{
        History,
        learner::{Input, Learner, LearnerConfig, Output, Snapshot},
    },
};

pub(crate) const PACKET_BYTES_MAX: usize = 1 << 20;

pub(crate) struct Rig {
    pub(crate) learner: Learner,
    pub(crate) now: Instant,
    pub(crate) link: ConnId,
    /// How often something was to be sent.
    pub(crate) sends: usize,
    /// All bytes sent.
    pub(crate) sent: Vec<u8>,
    pub(crate) replaced: Option<Snapshot>,
    /// The configurations that the learner was told of.
    pub(crate) announced: Vec<String>,
}

impl Rig {
    pub(crate) fn new(history: History) -> Self {
        Self::with(config(false), history)
    }

    pub(crate) fn with(config: LearnerConfig, history: History) -> Self {
        let now = Instant::from_millis(1_000);
        let learner = Learner::new(config, ServerId::new(3), history, now);
        let (sent, replaced, announced) = (Vec::new(), None, Vec::new());
        Self { learner, now, link: ConnId::new(9), sends: 0, sent, replaced, announced }
    }

    /// A follower of epoch `number` that has nothing later than `last`.
    pub(crate) fn established(number: u32, last: Zxid) -> Self {
        let old = number - 1;
        Self::new(start(old, old, last)).up(number, last)
    }

    pub(crate) fn established_observer(number: u32) -> Self {
        Self::with(config(true), start(0, 0, at(0, 0))).up(number, at(0, 0))
    }

    fn up(mut self, number: u32, last: Zxid) -> Self {
        self.dialled();
        self.leader_info(number);
        self.accepted();
        self.hears(&FromLeader::Diff(last));
        self.new_leader(number);
        self.adopted();
        self.hears(&FromLeader::UpToDate);
        assert!(self.learner.is_established());
        self
    }

    pub(crate) fn dialled(&mut self) -> Vec<String> {
        self.told(Input::Dialled { link: self.link })
    }

    pub(crate) fn leader_info(&mut self, number: u32) -> Vec<String> {
        let info = LeaderInfo { protocol_version: 0x1_0000 };
        self.hears(&FromLeader::LeaderInfo(epoch(number), info))
    }

    pub(crate) fn accepted(&mut self) -> Vec<String> {
        self.told(Input::EpochSaved(EpochFile::Accepted))
    }

    pub(crate) fn adopted(&mut self) -> Vec<String> {
        self.told(Input::EpochSaved(EpochFile::Current))
    }

    pub(crate) fn synced(&mut self, zxid: Zxid) -> Vec<String> {
        self.told(Input::Synced { zxid })
    }

    pub(crate) fn new_leader(&mut self, number: u32) -> Vec<String> {
        self.hears(&FromLeader::NewLeader(epoch(number), "servers".into()))
    }

    pub(crate) fn proposes(&mut self, zxid: Zxid) -> Vec<String> {
        self.hears(&FromLeader::Proposal(zxid, &proposal(zxid)))
    }

    /// The leader says something.
    pub(crate) fn hears(&mut self, packet: &FromLeader<'_>) -> Vec<String> {
        self.bytes(&encode(packet))
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Vec<String> {
        self.told(Input::Bytes { link: self.link, bytes })
    }

    pub(crate) fn told(&mut self, input: Input<'_>) -> Vec<String> {
        self.learner.handle(self.now, input);
        self.take()
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    /// What the learner does.
    pub(crate) fn take(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(output) = self.learner.poll_output() {
            match output {
                Output::Dial { leader } => lines.push(format!("dial {leader}")),
                Output::Send { link } => {
                    let out = self.learner.outgoing(link).expect("it is ours");
                    lines.extend(packets(out.as_slice()));
                    self.sent.extend_from_slice(out.as_slice());
                    out.clear();
                    self.sends += 1;
                }
                Output::Pause { .. } => lines.push("pause".into()),
                Output::Resume { .. } => lines.push("resume".into()),
                Output::Close { .. } => lines.push("close".into()),
                Output::SaveEpoch { file: EpochFile::Accepted, epoch } => {
                    lines.push(format!("save accepted {epoch}"));
                }
                Output::SaveEpoch { file: EpochFile::Current, epoch } => {
                    lines.push(format!("save current {epoch}"));
                }
                Output::Append(proposal) => lines.push(format!("append {:x}", proposal.zxid)),
                Output::Truncate { last } => lines.push(format!("truncate {last:x}")),
                Output::Replace(snapshot) => {
                    lines.push(format!("replace {:x}", snapshot.zxid));
                    self.replaced = Some(*snapshot);
                }
                Output::Install => lines.push("install".into()),
                Output::Apply(proposal) => lines.push(format!("apply {:x}", proposal.zxid)),
                Output::Established { epoch } => lines.push(format!("established {epoch}")),
                Output::NextConfig { text } => self.announced.push(text),
                Output::Config { text } => lines.push(format!("config {text}")),
                Output::SyncReady => lines.push("sync ready".into()),
                Output::SessionChecked { session, is_valid } => {
                    lines.push(format!("session {:x} {is_valid}", session.get()));
                }
                Output::Ping => lines.push("ping?".into()),
                Output::Lost(loss) => lines.push(format!("lost {loss:?}")),
            }
        }
        lines
    }
}

/// What a learner said, packet by packet.
pub(crate) fn packets(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(split) = split_packet(bytes, PACKET_BYTES_MAX).expect("our own") {
        lines.push(match FromLearner::read(&split.packet).expect("our own") {
            FromLearner::FollowerInfo(zxid, _) => format!("FOLLOWERINFO {zxid:x}"),
            FromLearner::ObserverInfo(zxid, _) => format!("OBSERVERINFO {zxid:x}"),
            FromLearner::AckEpoch(zxid, EpochAnswer::AlreadyPromised) => {
                format!("ACKEPOCH {zxid:x} -1")
            }
            FromLearner::AckEpoch(zxid, EpochAnswer::Accepted { current }) => {
                format!("ACKEPOCH {zxid:x} follows {current}")
            }
            FromLearner::Ack(zxid) => format!("ACK {zxid:x}"),
            FromLearner::Ping(zxid, touches) => format!("PING {zxid:x} {}", touches.0.len()),
            FromLearner::Revalidate(asked) => {
                format!("REVALIDATE {:x} {}", asked.session.get(), asked.timeout_ms)
            }
            FromLearner::Request(request, ids) => {
                let ids = ids.map_or_else(
                    || "none".into(),
                    |ids| {
                        let text = |id: &zk_proto::quorum::WireId<'_>| {
                            let part = |text: Option<&str>| text.unwrap_or("?").to_owned();
                            format!("{}:{}", part(id.scheme.text()), part(id.id.text()))
                        };
                        ids.iter().map(text).collect::<Vec<_>>().join(" ")
                    },
                );
                let (session, xid) = (request.session.get(), request.xid);
                let (op, length) = (request.op, request.body.len());
                format!("REQUEST {session:x} {xid} {op} {length} {ids}")
            }
        });
        bytes = &bytes[split.length..];
        if bytes.is_empty() {
            break;
        }
    }
    assert!(bytes.is_empty(), "half a packet was sent");
    lines
}

pub(crate) fn config(is_observer: bool) -> LearnerConfig {
    LearnerConfig {
        me: ServerId::new(2),
        is_observer,
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

pub(crate) const fn start(accepted: u32, current: u32, last: Zxid) -> History {
    let (accepted, current) = (Epoch::new(accepted), Epoch::new(current));
    History { accepted, current, last, is_doubtful: false }
}

pub(crate) const fn at(epoch: u32, counter: u32) -> Zxid {
    Zxid::from_parts(Epoch::new(epoch), counter)
}

pub(crate) const fn epoch(number: u32) -> Zxid {
    at(number, 0)
}

/// A transaction's bytes.
pub(crate) fn proposal(zxid: Zxid) -> Vec<u8> {
    let txn = Txn::CreateSession(8_000);
    let (session, time) = (SessionId::new(zxid.get()), WallMillis::new(1));
    let header = TxnHeader { session, xid: Xid::new(0), zxid, time, kind: txn.kind() };
    encode(&TxnRecord { header, txn, digest: None })
}
