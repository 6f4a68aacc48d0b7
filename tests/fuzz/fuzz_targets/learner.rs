//! Fuzzes a member that follows: what its leader sends, and what its storage answers and when.
//!
//! Whatever comes, it acknowledges nothing that is not durable, logs and applies in order and
//! without a gap, and says no word after its term.
#![no_main]

use std::{collections::VecDeque, time::Duration};

use libfuzzer_sys::fuzz_target;
use zk_fuzz::script::Script;
use zk_proto::{
    ConnId, Epoch, Instant, ServerId, SessionId, Zxid,
    quorum::{FromLearner, SessionTouch, split_packet},
};
use zk_server_core::{
    storage::epoch_file::EpochFile,
    tree::TreeConfig,
    zab::{
        History,
        learner::{Input, Learner, LearnerConfig, Output},
    },
};

const LINK: ConnId = ConnId::new(1);
const PACKET_BYTES_MAX: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let flags = script.byte();
    let history = History {
        accepted: Epoch::new(script.byte().into()),
        current: Epoch::new(script.byte().into()),
        last: Zxid::new(script.long()),
        is_doubtful: flags & 1 != 0,
    };
    if history.last.get() < 0 || history.last.epoch() > history.current {
        return;
    }
    let mut world = World::new(history, flags & 2 != 0);
    // Storage that answers at once reaches further.
    let is_prompt = flags & 4 != 0;
    while !script.is_over() {
        match script.below(12) {
            0..=4 => {
                let bytes = script.chunk();
                world.tell(Input::Bytes { link: LINK, bytes });
            }
            5 => world.serve(),
            6 => {
                world.now = world.now + Duration::from_millis(script.word().into());
                world.tell(Input::Timeout);
            }
            7 => {
                let session = SessionId::new(script.long());
                world.tell(Input::Pong(vec![SessionTouch { session, timeout_ms: 1 }]));
            }
            8 => world.tell(Input::DialFailed),
            9 => world.tell(Input::CannotTruncate),
            10 => world.tell(Input::Synced { zxid: world.durable }),
            _ => world.tell(Input::Closed { link: LINK }),
        }
        while is_prompt && !world.asked.is_empty() {
            world.serve();
        }
    }
});

/// What storage was asked for.
enum Asked {
    Epoch(EpochFile, Epoch),
    Append(Zxid),
    Truncate(Zxid),
    Install,
}

struct World {
    learner: Learner,
    now: Instant,
    asked: VecDeque<Asked>,
    appended: Zxid,
    applied: Zxid,
    durable: Zxid,
    current: Epoch,
    /// Whether the tree is in memory only.
    is_replaced: bool,
    is_over: bool,
    /// The last transaction acknowledged.
    acknowledged: Zxid,
}

impl World {
    fn new(history: History, is_observer: bool) -> Self {
        let config = LearnerConfig {
            me: ServerId::new(1),
            is_observer,
            tick_ms: 100,
            init_ticks: 10,
            sync_ticks: 5,
            config_version: Zxid::ZERO,
            packet_bytes_max: PACKET_BYTES_MAX,
            pending_bytes_max: 1 << 26,
            sync_bytes_max: 1 << 26,
            tree: TreeConfig::default(),
        };
        let now = Instant::from_millis(1);
        let last = if history.is_doubtful { Zxid::ZERO } else { history.last };
        let mut world = Self {
            learner: Learner::new(config, ServerId::new(2), history, now),
            now,
            asked: VecDeque::new(),
            appended: last,
            applied: last,
            durable: last,
            current: history.current,
            is_replaced: false,
            is_over: false,
            acknowledged: Zxid::ZERO,
        };
        world.tell(Input::Dialled { link: LINK });
        world
    }

    fn tell(&mut self, input: Input<'_>) {
        self.learner.handle(self.now, input);
        while let Some(output) = self.learner.poll_output() {
            assert!(!self.is_over, "{output:?} after the end");
            self.take(output);
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Append(proposal) => {
                assert!(proposal.zxid > self.appended && !self.is_replaced);
                self.appended = proposal.zxid;
                self.asked.push_back(Asked::Append(proposal.zxid));
            }
            Output::Apply(proposal) => {
                assert!(proposal.zxid > self.applied);
                assert!(self.is_replaced || proposal.zxid <= self.appended);
                self.applied = proposal.zxid;
            }
            Output::Replace(snapshot) => {
                self.is_replaced = true;
                self.applied = snapshot.zxid;
            }
            Output::Install => self.asked.push_back(Asked::Install),
            Output::SaveEpoch { file, epoch } => self.asked.push_back(Asked::Epoch(file, epoch)),
            Output::Truncate { last } => {
                assert!(last < self.appended);
                self.asked.push_back(Asked::Truncate(last));
            }
            Output::Send { link } => {
                let out = self.learner.outgoing(link).expect("it is ours");
                let bytes = out.as_slice().to_vec();
                out.clear();
                self.hear(&bytes);
            }
            Output::Lost(_) => self.is_over = true,
            Output::Dial { .. }
            | Output::Pause { .. } | Output::Resume { .. } | Output::Close { .. }
            | Output::Established { .. }
            | Output::NextConfig { .. }
            | Output::Config { .. }
            | Output::SyncReady
            | Output::SessionChecked { .. }
            | Output::Ping => {}
        }
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let split = split_packet(bytes, PACKET_BYTES_MAX).expect("our own").expect("whole");
            bytes = &bytes[split.length..];
            let Ok(FromLearner::Ack(zxid)) = FromLearner::read(&split.packet) else { continue };
            if zxid == Zxid::from_parts(self.learner.epoch(), 0) {
                assert!(!self.is_replaced, "the state is in memory only");
                assert_eq!(self.current, self.learner.epoch());
            } else {
                assert!(zxid <= self.durable && zxid > self.acknowledged);
                self.acknowledged = zxid;
            }
        }
    }

    /// The oldest thing asked of storage is done.
    fn serve(&mut self) {
        match self.asked.pop_front() {
            Some(Asked::Epoch(file, epoch)) => {
                if file == EpochFile::Current {
                    assert!(self.durable >= self.applied, "the epoch before its history");
                    self.current = epoch;
                }
                self.tell(Input::EpochSaved(file));
            }
            Some(Asked::Append(zxid)) => {
                self.durable = zxid;
                self.tell(Input::Synced { zxid });
            }
            Some(Asked::Truncate(last)) => {
                (self.appended, self.applied, self.durable) = (last, last, last);
                self.tell(Input::Truncated { last });
            }
            Some(Asked::Install) => {
                self.is_replaced = false;
                (self.appended, self.durable) = (self.applied, self.applied);
                self.tell(Input::Installed);
            }
            None => {}
        }
    }
}
