//! Connections: what is sent arrives in its order or not at all.
//!
//! A cut between two machines stalls what is under way, as it does with TCP; when the cut heals, it
//! arrives. Whoever waits too long hangs up by himself.

use std::collections::{BTreeSet, VecDeque};

use zk_proto::ConnId;

/// A machine: members first, clients behind them.
pub type Machine = usize;

/// What a connection is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Port {
    /// A client's session.
    Client,
    /// Leader and learner.
    Quorum,
    /// Votes.
    Election,
}

/// What travels.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing more comes.
    End,
}

/// One connection. Side 0 dialled, side 1 accepted.
#[derive(Debug)]
pub struct Pipe {
    /// What it is for.
    pub port: Port,
    /// Who is at each side.
    pub ends: [Machine; 2],
    /// Which life of the machine opened it.
    pub lives: [u32; 2],
    /// Whether each side still holds it.
    pub is_open: [bool; 2],
    /// Whether everything towards a side is lost, without a word.
    pub is_lost: [bool; 2],
    /// When the last parcel towards each side arrives, in nanoseconds.
    pub last_at: [u64; 2],
    /// Arrived at a cut, towards each side.
    pub stalled: [VecDeque<Parcel>; 2],
}

/// All connections, and which machines cannot hear each other.
#[derive(Debug, Default)]
pub struct Net {
    pipes: Vec<Pipe>,
    /// From whom to whom nothing gets through.
    cuts: BTreeSet<(Machine, Machine)>,
}

/// The number one side knows its connection by: unique in the world.
pub fn conn_of(pipe: usize, side: usize) -> ConnId {
    ConnId::new((pipe as u64) * 2 + side as u64 + 1)
}

/// The connection behind such a number, and the side.
///
/// # Panics
/// When it is not the number of a connection.
pub fn pipe_of(conn: ConnId) -> (usize, usize) {
    let number = conn.get() - 1;
    let index = usize::try_from(number / 2).expect("pipes are counted in memory");
    (index, usize::from(number % 2 == 1))
}

impl Net {
    /// Opens a connection; returns its place.
    pub fn open(&mut self, port: Port, ends: [Machine; 2], lives: [u32; 2], now: u64) -> usize {
        self.pipes.push(Pipe {
            port,
            ends,
            lives,
            is_open: [true, true],
            is_lost: [false, false],
            last_at: [now, now],
            stalled: [VecDeque::new(), VecDeque::new()],
        });
        self.pipes.len() - 1
    }

    /// One connection.
    pub fn pipe(&self, pipe: usize) -> &Pipe {
        &self.pipes[pipe]
    }

    /// One connection.
    pub fn pipe_mut(&mut self, pipe: usize) -> &mut Pipe {
        &mut self.pipes[pipe]
    }

    /// Connections of which `machine` holds a side, and that side.
    pub fn sides_of(&self, machine: Machine) -> Vec<(usize, usize)> {
        let mut sides = Vec::new();
        for (index, pipe) in self.pipes.iter().enumerate() {
            for side in 0..2 {
                if pipe.ends[side] == machine && pipe.is_open[side] {
                    sides.push((index, side));
                }
            }
        }
        sides
    }

    /// Connections both sides of which are open.
    pub fn whole(&self) -> Vec<usize> {
        let is_whole = |pipe: &Pipe| pipe.is_open == [true, true];
        let whole = self.pipes.iter().enumerate().filter(|(_, pipe)| is_whole(pipe));
        whole.map(|(index, _)| index).collect()
    }

    /// Connections one side of which is open and the other is not.
    pub fn half_open(&self) -> Vec<usize> {
        let is_half = |pipe: &Pipe| pipe.is_open[0] != pipe.is_open[1];
        let half = self.pipes.iter().enumerate().filter(|(_, pipe)| is_half(pipe));
        half.map(|(index, _)| index).collect()
    }

    /// Stops everything from `from` to `to`.
    pub fn cut(&mut self, from: Machine, to: Machine) {
        self.cuts.insert((from, to));
    }

    /// Lets what comes from now on through from `from` to `to`.
    pub fn mend(&mut self, from: Machine, to: Machine) {
        self.cuts.remove(&(from, to));
    }

    /// Lets everything through again; returns what is stalled.
    pub fn heal(&mut self) -> Vec<(usize, usize)> {
        self.cuts.clear();
        let mut stalled = Vec::new();
        for (index, pipe) in self.pipes.iter().enumerate() {
            for side in 0..2 {
                if !pipe.stalled[side].is_empty() {
                    stalled.push((index, side));
                }
            }
        }
        stalled
    }

    /// Whether something from `from` reaches `to`.
    pub fn is_cut(&self, from: Machine, to: Machine) -> bool {
        self.cuts.contains(&(from, to))
    }
}
