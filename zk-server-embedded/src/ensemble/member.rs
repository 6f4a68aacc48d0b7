//! One member of an ensemble, to look at or to trouble.

use std::{net::SocketAddr, time::Duration};

use zk_proto::{ServerId, SessionId, client::OpCode};

use super::{Ensemble, Role, seat::Seat};
use crate::{
    faults::{Applied, LostReply},
    hub::Hub,
    server::{Server, Stats, Stopped},
    testing::Snapshot,
};

/// A member of an [`Ensemble`]. What is asked of one that is paused is answered when it runs again.
#[derive(Clone, Copy, Debug)]
pub struct MemberHandle<'a> {
    ensemble: &'a Ensemble,
    id: ServerId,
    seat: &'a Seat,
}

impl<'a> MemberHandle<'a> {
    pub(super) const fn new(ensemble: &'a Ensemble, id: ServerId, seat: &'a Seat) -> Self {
        Self { ensemble, id, seat }
    }

    /// Its number.
    pub const fn id(&self) -> ServerId {
        self.id
    }

    /// What it does at the moment.
    pub fn role(&self) -> Role {
        self.ensemble.role(self.id)
    }

    /// Where clients of this member connect to, the same after a restart.
    pub const fn local_addr(&self) -> SocketAddr {
        self.seat.ports.client
    }

    /// Where the other members send their votes.
    pub const fn election_addr(&self) -> SocketAddr {
        self.seat.ports.election
    }

    /// Where the other members learn from it while it leads; closed otherwise.
    pub const fn quorum_addr(&self) -> SocketAddr {
        self.seat.ports.quorum
    }

    /// The address of clients as they write it: `127.0.0.1:40123`.
    pub fn connect_string(&self) -> String {
        self.local_addr().to_string()
    }

    /// The server itself.
    ///
    /// # Errors
    /// [`Stopped`] when it does not run.
    pub fn server(&self) -> Result<&'a Server, Stopped> {
        self.seat.running()
    }

    /// Asks the member what it is doing.
    ///
    /// # Errors
    /// [`Stopped`] when it does not run.
    pub async fn stats(&self) -> Result<Stats, Stopped> {
        self.server()?.stats().await
    }

    /// Everything the member holds, at one moment.
    ///
    /// # Errors
    /// [`Stopped`] when it does not run.
    pub async fn snapshot(&self) -> Result<Snapshot, Stopped> {
        self.server()?.call(|hub| Snapshot::take(&hub.peer)).await
    }

    /// Breaks the connection of a session to this member. Says whether it had one.
    ///
    /// # Errors
    /// [`Stopped`] when the member does not run.
    pub async fn drop_connection(&self, session: SessionId) -> Result<bool, Stopped> {
        self.server()?.call(move |hub| hub.end_connection_of(session)).await
    }

    /// Breaks every client's connection to this member.
    ///
    /// # Errors
    /// [`Stopped`] when it does not run.
    pub async fn drop_all_connections(&self) -> Result<(), Stopped> {
        self.server()?.call(Hub::end_all).await
    }

    /// Turns new clients away at the door, or lets them in again. Those that are in stay.
    ///
    /// # Errors
    /// [`Stopped`] when the member does not run.
    pub async fn refuse_connections(&self, is_refusing: bool) -> Result<(), Stopped> {
        self.server()?.call(move |hub| hub.is_refusing = is_refusing).await
    }

    /// Loses the reply to the `nth` request from now, counted from 1, that a client of this member
    /// makes with `op` on `under` or below it, and breaks the connection in its place. `applied`
    /// says whether the request was carried out, which is what its client cannot know.
    ///
    /// # Errors
    /// [`Stopped`] when the member does not run.
    pub async fn lose_nth_reply(
        &self,
        op: OpCode,
        under: &str,
        nth: usize,
        applied: Applied,
    ) -> Result<(), Stopped> {
        let lost = LostReply { op, under: under.into(), skip: nth.saturating_sub(1), applied };
        self.server()?.call(move |hub| hub.faults.add(lost)).await
    }

    /// Changes the data of a node in this member's memory alone, as a fault of memory would;
    /// changes it back when called again. Says whether there is such a node, with data. The member
    /// notices at the next transaction and takes everything from its leader anew, once.
    ///
    /// # Errors
    /// [`Stopped`] when the member does not run.
    pub async fn corrupt(&self, path: &str) -> Result<bool, Stopped> {
        let path = path.to_owned();
        self.server()?.call(move |hub| hub.peer.disturb(&path)).await
    }

    /// From now on every sync of the member's disk takes this long at least, to the millisecond,
    /// as on a disk that is failing or busy with something else; so does the one under way. Zero
    /// makes it as quick as it is. A member that is started again has a quick disk.
    ///
    /// # Errors
    /// [`Stopped`] when the member does not run.
    pub async fn slow_disk(&self, by: Duration) -> Result<(), Stopped> {
        let sync_ms_min = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.server()?.call(move |hub| hub.storage.slow_down(sync_ms_min)).await
    }

    /// Takes back every fault that has not struck yet.
    ///
    /// # Errors
    /// [`Stopped`] when the member does not run.
    pub async fn clear_faults(&self) -> Result<(), Stopped> {
        self.server()?.call(|hub| hub.faults.clear()).await
    }
}
