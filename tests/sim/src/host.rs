//! One member: the production peer, its store, and a disk that forgets.

use std::collections::{BTreeMap, VecDeque};

use zk_proto::{ConnId, ServerId, Zxid};
use zk_server_core::{
    front::ClientConn,
    peer::Peer,
    storage::{
        sim_disk::SimDisk,
        store::{Command, Store},
    },
};

/// One machine with one member.
#[derive(Debug)]
pub struct Host {
    /// The member's number.
    pub id: ServerId,
    /// Counts starts; what an earlier life asked for is not answered any more.
    pub life: u32,
    /// Survives everything but a wipe.
    pub disk: SimDisk,
    /// Counts what the machine was started: another number after each loss of power.
    pub boot: u64,
    /// In which boot the process started last.
    pub ran_in: u64,
    /// Whether the disk was damaged since the process stopped.
    pub is_hurt: bool,
    /// Whether the power goes as soon as the disk is in the middle of something.
    pub is_failing: bool,
    /// The process, while there is one.
    pub running: Option<Running>,
    /// Until when the process stands still, in nanoseconds.
    pub paused_until: u64,
    /// Nanoseconds by which every sync takes longer.
    pub disk_delay: u64,
    /// Whether the disk has no space.
    pub is_full: bool,
    /// How its monotonic clock runs.
    pub clock: Clock,
    /// Milliseconds by which the wall clock is wrong.
    pub wall_shift: i64,
    /// What went wrong with its last start.
    pub refusal: Option<String>,
}

/// A monotonic clock that may run too fast or too slow.
// reliability.md section 2: it may drift
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// When its speed changed last, in true nanoseconds, and what it showed.
    since: (u64, u64),
    /// Millionths by which it is too fast.
    ppm: i64,
}

impl Clock {
    /// Runs `ppm` millionths too fast from `now` on.
    pub fn run(&mut self, now: u64, ppm: i64) {
        *self = Self { since: (now, self.shows(now)), ppm };
    }

    /// What it shows at a true moment.
    pub fn shows(&self, now: u64) -> u64 {
        let passed = u128::from(now.saturating_sub(self.since.0)) * self.speed() / MILLION;
        self.since.1 + u64::try_from(passed).unwrap_or(u64::MAX)
    }

    /// The first true moment at which it shows this.
    pub fn moment(&self, shown: u64) -> u64 {
        let passed = u128::from(shown.saturating_sub(self.since.1)) * MILLION;
        self.since.0 + u64::try_from(passed.div_ceil(self.speed())).unwrap_or(u64::MAX)
    }

    fn speed(&self) -> u128 {
        MILLION.saturating_add_signed(self.ppm.into())
    }
}

const MILLION: u128 = 1_000_000;

/// A process.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Running {
    /// The member.
    pub peer: Peer,
    /// Its storage.
    pub store: Store,
    /// What storage was asked for and has not begun.
    pub asked: VecDeque<Command>,
    /// Whether storage is at work.
    pub is_storing: bool,
    /// When the process is woken next, in nanoseconds.
    pub armed: Option<u64>,
    /// Client connections.
    pub clients: BTreeMap<ConnId, ClientSide>,
    /// Whether learners may connect.
    pub is_listening: bool,
    /// The role that was last said.
    pub mode: &'static str,
    /// Whether nothing it started with counts, and no leader's history has taken its place.
    pub is_in_doubt: bool,
    /// Whether a leader's state is taking the place of what is on disk.
    pub is_replacing: bool,
    /// Whether the end of a snapshot that was given up is still to come.
    pub is_abandoning: bool,
    /// The link to its leader, while it reads nothing from it.
    pub paused_link: Option<ConnId>,
    /// Behind which transaction the history is being cut.
    pub cutting: Option<Zxid>,
}

/// The server's side of one client connection.
#[derive(Debug)]
pub struct ClientSide {
    /// Takes frames apart.
    pub decoder: ClientConn,
    /// What came and was not taken.
    pub received: Vec<u8>,
    /// Whether the peer wants to read.
    pub is_paused: bool,
}

impl Host {
    /// A machine with an empty disk, switched off.
    pub fn new(id: ServerId) -> Self {
        Self {
            id,
            life: 0,
            disk: SimDisk::new(false),
            boot: 1,
            ran_in: 1,
            is_hurt: false,
            is_failing: false,
            running: None,
            paused_until: 0,
            disk_delay: 0,
            is_full: false,
            clock: Clock::default(),
            wall_shift: 0,
            refusal: None,
        }
    }

    /// The member, while its process runs.
    pub fn peer(&self) -> Option<&Peer> {
        self.running.as_ref().map(|running| &running.peer)
    }
}
