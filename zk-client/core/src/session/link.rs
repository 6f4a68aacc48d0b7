//! The connection: opening it, greeting the server, losing it, and the end of the session.

use core::time::Duration;

use bytes::Bytes;
use zk_proto::{Instant, jute::Writer};

use super::{Link, Session};
use crate::{
    closing::Closing,
    handshake::{self, Ticket, Verdict},
    limits::ATTEMPT_MS_MIN,
    line::{Effect, Entry},
    liveness::Liveness,
    output::{Answer, DisconnectReason, Failure, Notice, Outcome, Output},
    state::{ExpiryPolicy, SessionEnd, SessionEpoch, SessionState},
    violation::Violation,
};

impl Session {
    pub(super) fn open(&mut self) {
        let server = self.endpoints.advance(self.now).clone();
        let share = self.liveness.timeout() / u32::try_from(self.endpoints.len()).unwrap_or(1);
        let give_up_at = self.now + share.max(Duration::from_millis(ATTEMPT_MS_MIN));
        self.link = Link::Opening { give_up_at };
        self.outputs.push_back(Output::Connect(server));
    }

    pub(super) fn greet(&mut self) {
        let Link::Opening { give_up_at } = self.link else {
            return;
        };
        self.link = Link::Greeting { give_up_at, asked: self.now };
        let fresh = Ticket::none();
        let ticket = if self.is_portable { &self.ticket } else { &fresh };
        let timeout = self.config.timeout;
        let frame = handshake::request(ticket, timeout, self.seen, self.config.may_be_read_only);
        self.spare = None;
        self.outputs.push_back(Output::Send(frame));
    }

    pub(super) fn greeted(&mut self, answer: &[u8], asked: Instant) -> Result<(), Violation> {
        let fresh = Ticket::none();
        let asked_for = if self.is_portable { &self.ticket } else { &fresh };
        let verdict = handshake::judge(asked_for, answer)?;
        let (ticket, timeout, is_read_only) = match verdict {
            Verdict::Opened { ticket, timeout, is_read_only } => (ticket, timeout, is_read_only),
            Verdict::Over => {
                self.expire();
                return Ok(());
            }
            Verdict::NotNow => {
                self.disconnect(DisconnectReason::Broken);
                return Ok(());
            }
        };
        // A server that answers with another session has forgotten ours. A session of a read-only
        // server cannot be taken along to another server: what came after it is another one too.
        if self.epoch.is_some_and(|epoch| epoch.session != ticket.session) {
            // What a read-only server granted held nothing that could be lost.
            if self.closing.is_some() || (self.is_portable && self.ends_with_session()) {
                self.expire();
                return Ok(());
            }
            self.part();
            self.enter(SessionState::Connecting);
        }
        let epoch = SessionEpoch { number: self.number, session: ticket.session };
        self.ticket = ticket;
        self.epoch = Some(epoch);
        self.is_portable |= !is_read_only;
        self.is_read_only = is_read_only;
        self.link = Link::Up;
        self.liveness.connected(self.now, asked, timeout);
        self.endpoints.arrived();
        self.prove(is_read_only);
        Ok(())
    }

    /// The server knows us: goes to work.
    pub(super) fn arrive(&mut self, is_read_only: bool) {
        let Some(epoch) = self.epoch else {
            return;
        };
        if is_read_only {
            self.moving.search(self.now);
        }
        self.prime();
        for id in self.watches.persistent() {
            let notice = Notice::Gap { since: self.seen, epoch };
            self.outputs.push_back(Output::Notify { id, notice });
        }
        self.enter(if is_read_only {
            SessionState::ReadOnly(epoch)
        } else {
            SessionState::Connected(epoch)
        });
    }

    pub(super) fn disconnect(&mut self, reason: DisconnectReason) {
        let was_connected = match self.link {
            Link::Up => true,
            Link::Opening { .. } | Link::Greeting { .. } => false,
            Link::Down { .. } | Link::Parked | Link::Over => return,
        };
        match reason {
            DisconnectReason::Violation(_) => self.endpoints.offended(self.now),
            DisconnectReason::Moved => {}
            DisconnectReason::ConnectFailed
            | DisconnectReason::Broken
            | DisconnectReason::HandshakeTooLong
            | DisconnectReason::Silent
            | DisconnectReason::AnswerTooLarge
            | DisconnectReason::SessionOver(_) => {
                self.endpoints.failed(self.now, was_connected);
            }
        }
        let retry_at = match reason {
            DisconnectReason::Moved => self.now,
            DisconnectReason::ConnectFailed
            | DisconnectReason::Broken
            | DisconnectReason::HandshakeTooLong
            | DisconnectReason::Silent
            | DisconnectReason::AnswerTooLarge
            | DisconnectReason::Violation(_)
            | DisconnectReason::SessionOver(_) => {
                self.endpoints.retry_at(self.now, self.liveness.timeout())
            }
        };
        self.link = Link::Down { retry_at };
        self.outputs.push_back(Output::Disconnect(reason));
        self.reset_link();
        let mut is_closed = false;
        while let Some(entry) = self.line.lose() {
            is_closed |= matches!(entry.effect, Effect::Close);
            self.lost(entry, Failure::ConnectionLost);
        }
        if is_closed {
            self.finish(SessionEnd::Closed);
        } else {
            self.suspend();
        }
    }

    pub(super) fn reset_link(&mut self) {
        self.urgent.clear();
        self.spare = Some(Writer::new());
        self.rewatching_count = 0;
        self.is_read_only = false;
        self.moving.stop();
        self.proving.stop();
    }

    /// A request will not be answered.
    pub(super) fn lost(&mut self, entry: Entry, failure: Failure) {
        if entry.is_awaited {
            self.answer(entry.token, Err(failure));
        }
        if let Effect::Watch(watch) = entry.effect {
            self.watches.settle(&watch, None);
        }
    }

    /// Whether the client has no other session after this one, or none without being told to.
    const fn ends_with_session(&self) -> bool {
        match self.config.on_expiry {
            ExpiryPolicy::FailFast | ExpiryPolicy::Handoff => true,
            ExpiryPolicy::Recreate => false,
        }
    }

    /// The server has expired the session.
    fn expire(&mut self) {
        if self.closing.is_some() {
            self.finish(SessionEnd::Expired);
            return;
        }
        match self.config.on_expiry {
            ExpiryPolicy::FailFast => self.finish(SessionEnd::Expired),
            ExpiryPolicy::Recreate => {
                self.hang_up(SessionEnd::Expired);
                self.part();
                // Jittered, as a whole crowd may have lost its sessions at once.
                self.endpoints.end_free_round();
                let retry_at = self.endpoints.retry_at(self.now, self.liveness.timeout());
                self.link = Link::Down { retry_at };
                self.enter(SessionState::Connecting);
            }
            ExpiryPolicy::Handoff => {
                self.hang_up(SessionEnd::Expired);
                self.part();
                self.release_all(SessionEnd::Expired);
                self.link = Link::Parked;
            }
        }
    }

    /// Opens the next session, if the last one was handed off.
    pub(super) fn renew(&mut self) {
        if self.link == Link::Parked {
            self.link = Link::Down { retry_at: self.now };
            self.enter(SessionState::Connecting);
        }
    }

    /// Leaves an expired session behind: what belonged to it goes with it, and the next one gets
    /// the next number. What has been seen stays seen.
    fn part(&mut self) {
        let end = SessionEnd::Expired;
        self.give_back(end);
        for id in self.watches.take_bound() {
            self.outputs.push_back(Output::Notify { id, notice: Notice::End(end.into()) });
        }
        if let Some(epoch) = self.epoch.take() {
            self.enter(SessionState::Expired(epoch));
        }
        self.number += 1;
        self.ticket = Ticket::none();
        self.is_portable = false;
        self.lacks_removal = false;
        self.liveness = Liveness::new(self.config.timeout);
    }

    fn hang_up(&mut self, end: SessionEnd) {
        if !matches!(self.link, Link::Down { .. } | Link::Parked | Link::Over) {
            self.outputs.push_back(Output::Disconnect(DisconnectReason::SessionOver(end)));
        }
        self.reset_link();
    }

    /// Fails all requests that were asked in a session that is over.
    fn give_back(&mut self, end: SessionEnd) {
        while let Some(entry) = self.line.lose() {
            self.lost(entry, Failure::SessionOver { end, outcome: Outcome::Unknown });
        }
        while let Some(entry) = self.line.refuse() {
            self.lost(entry, Failure::SessionOver { end, outcome: Outcome::NotSent });
        }
    }

    /// Lets go of everybody who would wait for another session.
    fn release_all(&mut self, end: SessionEnd) {
        while let Some(token) = self.auth.take_waiting() {
            self.answer(token, Err(Failure::SessionOver { end, outcome: Outcome::Unknown }));
        }
        for id in self.watches.take_all() {
            self.outputs.push_back(Output::Notify { id, notice: Notice::End(end.into()) });
        }
    }

    /// The session is over, and the client with it.
    pub(super) fn finish(&mut self, end: SessionEnd) {
        self.hang_up(end);
        self.link = Link::Over;
        self.give_back(end);
        // However it came about, the session is over for this client, as was wanted.
        for token in self.closing.take().into_iter().flat_map(Closing::into_waiting) {
            self.answer(token, Ok(Answer { zxid: self.seen, body: Bytes::new() }));
        }
        self.release_all(end);
        self.enter(match (end, self.epoch) {
            (SessionEnd::Expired, Some(epoch)) => SessionState::Expired(epoch),
            (SessionEnd::AuthFailed, _) => SessionState::AuthFailed,
            (SessionEnd::Closed, _) | (SessionEnd::Expired, None) => SessionState::Closed,
        });
    }
}
