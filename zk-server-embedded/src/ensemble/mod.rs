//! An ensemble in one process: for tests that kill leaders, cut networks and look inside.
//!
//! Every member is a whole server with threads of its own, and the members speak to each other over
//! real sockets of the loopback address, so that whatever holds here holds between processes.
//!
//! # Examples
//! ```
//! use zk_server_embedded::ensemble::Ensemble;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let mut ensemble = Ensemble::builder().voters(3).start().await?;
//! println!("connect the client under test to {}", ensemble.connect_string());
//! let leader = ensemble.leader().await;
//! ensemble.kill(leader).await;
//! assert_ne!(ensemble.leader().await, leader);
//! ensemble.restart(leader).await?;
//! ensemble.agreement().await?;
//! # Ok(()) })
//! # }
//! ```

mod board;
mod builder;
mod member;
mod seat;

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::Duration,
};

use tokio::sync::oneshot;
pub use zk_proto::ServerId;
use zk_proto::{SessionId, Zxid};
pub use zk_server_core::member::LocalSessions;
use zk_server_core::{input::Input, member::MemberInput};

pub(crate) use self::board::{Farewell, Harness};
pub use self::{board::Role, builder::EnsembleBuilder, member::MemberHandle};
use self::{
    board::{Board, Status},
    seat::Seat,
};
use crate::{
    server::{Server, StartError, Stopped},
    testing::Snapshot,
    wires::Wires,
};

/// An ensemble under a test's control.
///
/// Members are named by their numbers, which begin with 1; a number that no member has is a
/// mistake of the test, and panics.
///
/// # Dropping
/// Dropping it stops every member without waiting for it, the paused ones too; threads and ports
/// are released a moment later. [`shutdown`](Self::shutdown) waits.
#[derive(Debug)]
pub struct Ensemble {
    seats: BTreeMap<ServerId, Seat>,
    wires: Arc<Wires>,
    board: Arc<Board>,
}

/// Rounds in which members hear of each other after their clocks were put forward a step.
const ROUNDS_PER_STEP: usize = 3;

impl Ensemble {
    /// Starts describing an ensemble. Without further words it has three voters, and keeps
    /// everything in memory.
    pub fn builder() -> EnsembleBuilder {
        EnsembleBuilder::new()
    }

    /// Where clients connect to: every member, whether it runs or not, the same as long as the
    /// ensemble exists.
    pub fn connect_string(&self) -> String {
        let addresses: Vec<String> =
            self.seats.values().map(|seat| seat.ports.client.to_string()).collect();
        addresses.join(",")
    }

    /// The numbers of all members, in order.
    pub fn ids(&self) -> Vec<ServerId> {
        self.seats.keys().copied().collect()
    }

    /// One member, to look at or to trouble.
    ///
    /// # Panics
    /// When there is none of this number.
    pub fn member(&self, id: ServerId) -> MemberHandle<'_> {
        MemberHandle::new(self, id, self.seat(id))
    }

    /// What a member does at the moment.
    pub fn role(&self, id: ServerId) -> Role {
        self.board.borrow().get(&id).map_or(Role::Down, |status| status.role)
    }

    /// Waits until a member that is not paused leads and serves, and says which; of two that
    /// believe so, the one whose transactions are newer.
    pub async fn leader(&self) -> ServerId {
        self.leader_but(&[]).await
    }

    /// Waits until another member leads than these.
    pub async fn leader_but(&self, others: &[ServerId]) -> ServerId {
        let mut board = self.board.subscribe();
        loop {
            if let Some(leader) = self.leading(&board.borrow_and_update(), others) {
                return leader;
            }
            // The sender is ours, so that it cannot be gone.
            drop(board.changed().await);
        }
    }

    /// Waits until every member that runs and is not paused serves. One that stopped by itself does
    /// not run.
    pub async fn ready(&self) {
        let mut board = self.board.subscribe();
        let is_ready = |board: &BTreeMap<ServerId, Status>| {
            self.awake().all(|(id, _)| {
                let role = board.get(&id).map(|status| status.role);
                matches!(role, Some(Role::Leader | Role::Follower | Role::Observer | Role::Down))
            })
        };
        drop(board.wait_for(is_ready).await);
    }

    /// Kills a member, as `kill -9` and the loss of power do: it says nothing to anybody, and what
    /// it had not on stable storage is lost. With a directory, what it had written survives as it
    /// survives a killed process.
    pub async fn kill(&mut self, id: ServerId) {
        self.seat_mut(id).kill().await;
        self.is_down(id);
    }

    /// Stops a member in good order: what was handed to its own disk is finished, then its
    /// connections close. A write that waits for other members may or may not have happened.
    pub async fn stop(&mut self, id: ServerId) {
        self.seat_mut(id).stop().await;
        self.is_down(id);
    }

    /// Starts a member that was stopped or killed, on its ports and its data; one that runs is
    /// stopped first. Returns when it runs; see [`ready`](Self::ready).
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn restart(&mut self, id: ServerId) -> Result<(), StartError> {
        self.stop(id).await;
        let starting = self.seat(id).launch()?;
        self.seat_mut(id).server = Some(Server::from_start(starting.await)?);
        Ok(())
    }

    /// Lets a member stand still, as SIGSTOP does: its connections stay open, and nothing is
    /// answered. What it has handed to its disk is finished.
    pub async fn pause(&mut self, id: ServerId) {
        let seat = self.seat_mut(id);
        if seat.pause.is_some() {
            return;
        }
        let (pause, resumed) = mpsc::channel::<()>();
        let (stands, standing) = oneshot::channel();
        let Ok(server) = seat.running() else { return };
        let order = server.order(move |_| {
            let _ = stands.send(());
            // Ends when the sender is dropped.
            let _ = resumed.recv();
        });
        if order.await.is_ok() && standing.await.is_ok() {
            seat.pause = Some(pause);
        }
    }

    /// Lets a paused member run again.
    pub fn resume(&mut self, id: ServerId) {
        self.seat_mut(id).resume();
    }

    /// Cuts a member off from all others, in both directions. Clients still reach it. What was
    /// under way waits, as packets of a broken network do, until the network is whole again or the
    /// connection was given up.
    pub fn isolate(&self, id: ServerId) {
        let others: Vec<ServerId> = self.ids().into_iter().filter(|other| *other != id).collect();
        self.partition(&[id], &others);
    }

    /// Cuts the network between each of `one` and each of `other`, in both directions.
    pub fn partition(&self, one: &[ServerId], other: &[ServerId]) {
        let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b)));
        let both: Vec<_> = pairs.flat_map(|(a, b)| [(a, b), (b, a)]).collect();
        self.wires.cut(both, true);
    }

    /// Cuts one direction: nothing that `from` sends reaches `to`. Neither can make a new
    /// connection to the other.
    pub fn cut(&self, from: ServerId, to: ServerId) {
        self.wires.cut([(from, to)], true);
    }

    /// Lets everything that `from` sends reach `to` so much later. It stays in order.
    pub fn delay(&self, from: ServerId, to: ServerId, by: Duration) {
        self.wires.slow_down([(from, to)], by);
    }

    /// Makes the network whole and quick again.
    pub fn heal(&self) {
        self.wires.heal();
    }

    /// Waits for a leader and lets it step down; says which it was. A new election follows, which
    /// the same member may win.
    ///
    /// # Errors
    /// [`Stopped`] when it stops instead.
    pub async fn step_down(&self) -> Result<ServerId, Stopped> {
        let leader = self.leader().await;
        let server = self.seat(leader).running()?;
        server.feed(|| Input::Member(MemberInput::StepDown)).await?;
        Ok(leader)
    }

    /// Waits for a leader and ends a session before its time. It is over for the leader when this
    /// returns, and for the others when they have heard of it. A local session is over for the only
    /// member that knew it.
    ///
    /// # Errors
    /// [`Stopped`] when the leader stops instead.
    pub async fn expire_session(&self, session: SessionId) -> Result<(), Stopped> {
        let mut board = self.board.subscribe();
        for (_, server) in self.awake() {
            // A member other than the leader ends only what nobody else knows. One that stops
            // meanwhile has forgotten such a session.
            let _is_stopped = server.expire_session(session).await;
        }
        loop {
            let leader = self.leader().await;
            board.mark_unchanged();
            let server = self.seat(leader).running()?;
            server.expire_session(session).await?;
            let snapshot = server.call(|hub| Snapshot::take(&hub.peer)).await?;
            if snapshot.session(session).is_none() {
                return Ok(());
            }
            // Its end takes a transaction, and another leader knows nothing of that one.
            drop(board.changed().await);
        }
    }

    /// Breaks the connection of a session, wherever it is. Says whether it had one.
    pub async fn drop_connection(&self, session: SessionId) -> bool {
        for (_, server) in self.awake() {
            let dropped = server.call(move |hub| hub.end_connection_of(session)).await;
            if dropped == Ok(true) {
                return true;
            }
        }
        false
    }

    /// Puts the clocks of all members that run forward, in steps short enough for them to hear of
    /// each other in between. Sessions whose time is thereby up end, and nodes whose time to live
    /// is up go, soon after. The clocks of clients stay: to the members, they are silent for as
    /// long.
    ///
    /// # Errors
    /// [`Stopped`] when a member stops meanwhile.
    pub async fn advance(&self, by: Duration) -> Result<(), Stopped> {
        let mut left = by;
        while !left.is_zero() {
            let mut step = left;
            for (_, server) in self.awake() {
                let silence = server.call(|hub| hub.silence_max()).await?;
                step = step.min(silence / 4).max(Duration::from_millis(1));
            }
            for (_, server) in self.awake() {
                server.call(move |hub| hub.advance(step)).await?;
            }
            for _ in 0..ROUNDS_PER_STEP {
                for (_, server) in self.awake() {
                    server.call(|_| ()).await?;
                }
            }
            left = left.saturating_sub(step);
        }
        Ok(())
    }

    /// Waits until every member that runs and is not paused serves and has applied the same
    /// transactions, and says what they hold.
    ///
    /// # Errors
    /// [`Stopped`] when a member stops meanwhile, or has stopped by itself before.
    ///
    /// # Panics
    /// When two of them hold different things after the same transactions; says which nodes differ.
    pub async fn agreement(&self) -> Result<Snapshot, Stopped> {
        loop {
            let zxid = self.same_zxid().await?;
            let mut snapshots = Vec::new();
            for (id, server) in self.awake() {
                snapshots.push((id, server.call(|hub| Snapshot::take(&hub.peer)).await?));
            }
            // More may have been written since.
            if snapshots.iter().any(|(_, snapshot)| snapshot.zxid != zxid) {
                continue;
            }
            let mut snapshots = snapshots.into_iter();
            let Some((first, snapshot)) = snapshots.next() else { return Err(Stopped) };
            for (id, other) in snapshots {
                let differing = snapshot.nodes.iter().filter(|node| !other.nodes.contains(node));
                let paths: Vec<&str> = differing.map(|node| node.path.as_str()).collect();
                let is_same = paths.is_empty() && snapshot.nodes.len() == other.nodes.len();
                assert!(is_same, "servers {first} and {id} differ at {zxid:#x}: {paths:?}");
                assert_eq!(snapshot.digest, other.digest, "servers {first} and {id} at {zxid:#x}");
            }
            return Ok(snapshot);
        }
    }

    /// Passes when every ephemeral node belongs to a session that is alive, on every member.
    ///
    /// # Errors
    /// [`Stopped`] when a member stops meanwhile.
    ///
    /// # Panics
    /// When some ephemeral node has outlived its session, or members hold different things.
    pub async fn assert_no_orphans(&self) -> Result<(), Stopped> {
        self.agreement().await?;
        for (id, server) in self.awake() {
            let snapshot = server.call(|hub| Snapshot::take(&hub.peer)).await?;
            let orphans = snapshot.orphans();
            assert!(orphans.is_empty(), "server {id}: ephemerals without a session: {orphans:?}");
        }
        Ok(())
    }

    /// Passes when nobody is left: no session, no ephemeral node and no watch on any member.
    ///
    /// # Errors
    /// [`Stopped`] when a member stops meanwhile.
    ///
    /// # Panics
    /// When something is left; says what and where.
    pub async fn assert_quiescent(&self) -> Result<(), Stopped> {
        self.agreement().await?;
        for (id, server) in self.awake() {
            let snapshot = server.call(|hub| Snapshot::take(&hub.peer)).await?;
            let (sessions, watches) = (&snapshot.sessions, &snapshot.watches);
            assert!(sessions.is_empty(), "server {id}: sessions are left: {sessions:?}");
            assert!(watches.is_empty(), "server {id}: watches are left: {watches:?}");
            let ephemerals = snapshot.ephemerals();
            assert!(ephemerals.is_empty(), "server {id}: ephemerals are left: {ephemerals:?}");
        }
        Ok(())
    }

    /// Stops every member and waits until all have.
    pub async fn shutdown(mut self) {
        for seat in self.seats.values_mut() {
            seat.stop().await;
        }
    }

    pub(super) async fn start_all(&mut self) -> Result<(), StartError> {
        let mut starting = Vec::new();
        for (id, seat) in &self.seats {
            starting.push((*id, seat.launch()?));
        }
        for (id, starting) in starting {
            self.seat_mut(id).server = Some(Server::from_start(starting.await)?);
        }
        Ok(())
    }

    /// Members that run and are not paused.
    fn awake(&self) -> impl Iterator<Item = (ServerId, &Server)> {
        let awake = self.seats.iter().filter(|(_, seat)| seat.pause.is_none());
        awake.filter_map(|(id, seat)| Some((*id, seat.server.as_ref()?)))
    }

    /// Waits until everybody serves and has applied the same, and says up to where.
    async fn same_zxid(&self) -> Result<Zxid, Stopped> {
        let mut board = self.board.subscribe();
        loop {
            {
                let board = board.borrow_and_update();
                let is_down = |id| board.get(&id).is_some_and(|status| status.role == Role::Down);
                // Whoever was stopped has no seat among those that are awake.
                if self.awake().any(|(id, _)| is_down(id)) {
                    return Err(Stopped);
                }
                let mut zxids = self.awake().map(|(id, _)| match board.get(&id) {
                    Some(Status { role: Role::Looking | Role::Down, .. }) | None => None,
                    Some(Status { zxid, .. }) => Some(*zxid),
                });
                if let Some(Some(first)) = zxids.next()
                    && zxids.all(|zxid| zxid == Some(first))
                {
                    return Ok(first);
                }
            }
            drop(board.changed().await);
        }
    }

    fn leading(&self, board: &BTreeMap<ServerId, Status>, others: &[ServerId]) -> Option<ServerId> {
        let awake = self.awake().filter(|(id, _)| !others.contains(id));
        let leading = awake.filter_map(|(id, _)| {
            let status = board.get(&id).filter(|status| status.role == Role::Leader)?;
            Some((status.zxid, id))
        });
        leading.max().map(|(_, id)| id)
    }

    fn is_down(&self, id: ServerId) {
        self.board.send_modify(|board| {
            board.insert(id, Status::DOWN);
        });
    }

    fn seat(&self, id: ServerId) -> &Seat {
        self.seats.get(&id).unwrap_or_else(|| panic!("there is no server {id}"))
    }

    fn seat_mut(&mut self, id: ServerId) -> &mut Seat {
        self.seats.get_mut(&id).unwrap_or_else(|| panic!("there is no server {id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::StopReason;

    /// Longer than anything a loaded machine does to three members.
    const PATIENCE: Duration = Duration::from_secs(120);

    #[tokio::test]
    async fn a_leader_whose_storage_failed_is_down_and_another_leads() {
        let mut ensemble = Ensemble::builder().start().await.expect("ports");
        let failed = ensemble.leader().await;
        let server = ensemble.seat(failed).running().expect("it leads");
        server.feed(|| Input::StorageFailed).await.expect("it runs");
        assert_others_go_on(&mut ensemble, failed, StopReason::StorageFailed).await;
    }

    #[tokio::test]
    async fn a_leader_that_a_bug_struck_down_is_down_and_another_leads() {
        let mut ensemble = Ensemble::builder().start().await.expect("ports");
        let crashed = ensemble.leader().await;
        let server = ensemble.seat(crashed).running().expect("it leads");
        server.order(|_| panic!("the bug of this test")).await.expect("it runs");
        assert_others_go_on(&mut ensemble, crashed, StopReason::Crashed).await;
    }

    async fn assert_others_go_on(ensemble: &mut Ensemble, gone: ServerId, why: StopReason) {
        let others_go_on = async {
            let server = ensemble.seat_mut(gone).server.as_mut().expect("it was started");
            assert_eq!(server.stopped().await, why);
            assert_eq!(ensemble.role(gone), Role::Down);
            assert_ne!(ensemble.leader().await, gone);
            ensemble.ready().await;
            assert_eq!(ensemble.agreement().await.err(), Some(Stopped));
            ensemble.restart(gone).await.expect("its ports and its data");
            ensemble.agreement().await.expect("all run again");
        };
        tokio::time::timeout(PATIENCE, others_go_on).await.expect("nobody waits for it");
    }
}
