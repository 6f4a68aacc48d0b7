//! What one seed brings: how many members, which faults, how hard.
//!
//! Every run enables a subset of the faults only. A run with all of them at once hardly gets
//! anywhere; a run with two or three finds what their combination breaks.

use crate::apps::Apps;
use zk_server_core::{limits::LOG_READ_BYTES_MAX, rng::Rng, storage::log::Preallocation};

/// Nanoseconds of a millisecond.
pub const MILLI: u64 = 1_000_000;
/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000 * MILLI;

/// A kind of fault.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    /// A process dies; what it wrote stays.
    Kill,
    /// A machine loses power; of what was not synced any part is gone.
    PowerLoss,
    /// All machines lose power at once.
    Blackout,
    /// A process dies in the middle of a disk operation.
    TornCrash,
    /// A machine hears nobody and nobody hears it.
    Isolate,
    /// Two machines do not hear each other.
    Cut,
    /// One machine does not hear another.
    OneWay,
    /// A process stands still.
    Pause,
    /// Every sync takes long.
    SlowDisk,
    /// A disk operation fails.
    DiskError,
    /// Connections break.
    Reset,
    /// The wall clock jumps.
    ClockJump,
    /// A client stands still.
    Freeze,
    /// A leader is asked to step down.
    StepDown,
    /// A bit of a log of a stopped member turns over.
    BitFlip,
    /// A stopped member loses its data.
    Wipe,
    /// Members and clients fall into two halves that do not hear each other.
    Split,
    /// The others give their leader up, and it does not hear of it.
    Usurp,
    /// One end of a connection hears that it broke, the other does not.
    HalfOpen,
    /// The leader goes, and at one of the first parcels of the next term somebody else does.
    EarlyEnd,
    /// A link between two members comes and goes.
    Flap,
    /// Somebody connects who is none of us, and talks nonsense.
    Stranger,
    /// A disk is full.
    DiskFull,
    /// Bytes arrive in pieces.
    Pieces,
    /// A member's clock runs too fast or too slow.
    Drift,
    /// All clients stand still at once.
    Hush,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::Kill,
        Self::PowerLoss,
        Self::Blackout,
        Self::TornCrash,
        Self::Isolate,
        Self::Cut,
        Self::OneWay,
        Self::Pause,
        Self::SlowDisk,
        Self::DiskError,
        Self::Reset,
        Self::ClockJump,
        Self::Freeze,
        Self::StepDown,
        Self::BitFlip,
        Self::Wipe,
        Self::Split,
        Self::Usurp,
        Self::HalfOpen,
        Self::EarlyEnd,
        Self::Flap,
        Self::Stranger,
        Self::DiskFull,
        Self::Pieces,
        Self::Drift,
        Self::Hush,
    ];
}

/// What a run is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where everything is drawn from.
    pub seed: u64,
    /// Members that vote.
    pub voters: usize,
    /// Members that observe.
    pub observers: usize,
    /// Clients.
    pub clients: usize,
    /// Faults that may happen.
    pub faults: Vec<Fault>,
    /// Nanoseconds between two faults, on average.
    pub fault_every: u64,
    /// Nanoseconds until the faults end.
    pub safety: u64,
    /// Nanoseconds between two requests of one client, on average.
    pub request_every: u64,
    /// Nanoseconds a parcel travels at least, and how much longer at most.
    pub latency: (u64, u64),
    /// Nanoseconds a sync takes at least, and how much longer at most.
    pub sync: (u64, u64),
    /// Transactions between two snapshots.
    pub snapshot_txns: u64,
    /// How much a leader reads from its log for a learner before it sends its whole state.
    pub log_read_bytes: usize,
    /// Applications, and what they do.
    pub apps: Apps,
    /// How logs are filled ahead; in small steps, since a disk in memory gains nothing by it.
    pub preallocation: Preallocation,
}

impl Plan {
    /// What `seed` brings, for a run of `seconds` virtual seconds with faults.
    pub fn new(seed: u64, seconds: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let voters = [3, 3, 3, 5, 1][draw(&mut rng, 5)];
        let observers = [0, 0, 1][draw(&mut rng, 3)];
        let mut faults = Vec::new();
        for fault in Fault::ALL {
            if rng.below(4) == 0 {
                faults.push(fault);
            }
        }
        Self {
            seed,
            voters,
            observers,
            clients: 4 + draw(&mut rng, 17),
            faults,
            fault_every: [2, 5, 10, 20][draw(&mut rng, 4)] * SECOND,
            safety: seconds * SECOND,
            // Where hardly anybody writes, a term may end before its first transaction.
            request_every: [250, 500, 1_000, 2_000, 20_000][draw(&mut rng, 5)] * MILLI,
            latency: [(MILLI / 20, MILLI / 5), (MILLI, 2 * MILLI), (MILLI, 40 * MILLI)]
                [draw(&mut rng, 3)],
            sync: [(MILLI / 10, MILLI / 2), (MILLI, 10 * MILLI)][draw(&mut rng, 2)],
            snapshot_txns: [10, 50, 1_000, 100_000][draw(&mut rng, 4)],
            log_read_bytes: [LOG_READ_BYTES_MAX, 4_096][draw(&mut rng, 2)],
            apps: Apps::default(),
            preallocation: [
                Preallocation { step_bytes_min: 8_192, step_bytes_max: 16_384 },
                Preallocation { step_bytes_min: 0, step_bytes_max: 0 },
            ][draw(&mut rng, 2)],
        }
    }

    /// Applications of `seed` beside few plain clients, under the same faults.
    pub fn recipes(seed: u64, seconds: u64) -> Self {
        let plan = Self::new(seed, seconds);
        Self { clients: draw(&mut Rng::new(seed), 3), apps: Apps::new(seed), ..plan }
    }

    /// The run that the goals for speed are about: 3 members, 20 clients, about 20 requests per
    /// second in all, the faults of the seed.
    pub fn measured(seed: u64, seconds: u64) -> Self {
        let plan = Self::new(seed, seconds);
        let (voters, observers, clients) = (3, 0, 20);
        Self { voters, observers, clients, request_every: SECOND, ..plan }
    }
}

/// A number below `count`.
pub fn draw(rng: &mut Rng, count: usize) -> usize {
    usize::try_from(rng.below(count as u64)).unwrap_or(0)
}
