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
    output::{Answer, DisconnectReason, Failure, Notice, Outcome, Output, WatchEnd},
    state::{SessionEnd, SessionEpoch, SessionState},
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
        let is_new = !self.is_portable;
        let verdict = handshake::judge(if is_new { &fresh } else { &self.ticket }, answer)?;
        let Verdict::Opened { ticket, timeout, is_read_only } = verdict else {
            self.finish(SessionEnd::Expired);
            return Ok(());
        };
        // A session of a read-only server cannot be taken along to another server: what came after
        // it is another session.
        if let (Some(_), true) = (self.epoch, is_new) {
            self.finish(SessionEnd::Expired);
            return Ok(());
        }
        let epoch = SessionEpoch { number: 1, session: ticket.session };
        self.ticket = ticket;
        self.epoch = Some(epoch);
        self.is_portable |= !is_read_only;
        self.link = Link::Up;
        self.liveness.connected(self.now, asked, timeout);
        self.urgent.clear();
        self.auth.present_all(&mut self.urgent);
        self.rewatching_count = {
            let frame_bytes_max = self.config.frame_bytes_max;
            self.watches.set_again(self.seen, frame_bytes_max, &mut self.urgent)
        };
        for id in self.watches.persistent() {
            self.outputs.push_back(Output::Notify { id, notice: Notice::Gap { since: self.seen } });
        }
        self.enter(if is_read_only {
            SessionState::ReadOnly(epoch)
        } else {
            SessionState::Connected(epoch)
        });
        Ok(())
    }

    pub(super) fn disconnect(&mut self, reason: DisconnectReason) {
        let was_connected = match self.link {
            Link::Up => true,
            Link::Opening { .. } | Link::Greeting { .. } => false,
            Link::Down { .. } | Link::Over => return,
        };
        match reason {
            DisconnectReason::Violation(_) => self.endpoints.offended(self.now),
            DisconnectReason::ConnectFailed
            | DisconnectReason::Broken
            | DisconnectReason::HandshakeTooLong
            | DisconnectReason::Silent
            | DisconnectReason::SessionOver(_) => self.endpoints.failed(was_connected),
        }
        let is_first = self.epoch.is_none();
        let retry_at = self.endpoints.retry_at(self.now, self.liveness.timeout(), is_first);
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

    /// The session is over, for good.
    pub(super) fn finish(&mut self, end: SessionEnd) {
        if !matches!(self.link, Link::Down { .. } | Link::Over) {
            self.outputs.push_back(Output::Disconnect(DisconnectReason::SessionOver(end)));
        }
        self.link = Link::Over;
        self.reset_link();
        while let Some(entry) = self.line.lose() {
            self.lost(entry, Failure::SessionOver { end, outcome: Outcome::Unknown });
        }
        while let Some(entry) = self.line.refuse() {
            self.lost(entry, Failure::SessionOver { end, outcome: Outcome::NotSent });
        }
        while let Some(token) = self.auth.take_waiting() {
            self.answer(token, Err(Failure::SessionOver { end, outcome: Outcome::Unknown }));
        }
        // However it came about, the session is over for this client, as was wanted.
        for token in self.closing.take().into_iter().flat_map(Closing::into_waiting) {
            self.answer(token, Ok(Answer { zxid: self.seen, body: Bytes::new() }));
        }
        for id in self.watches.take_all() {
            let notice = Notice::End(WatchEnd::SessionOver(end));
            self.outputs.push_back(Output::Notify { id, notice });
        }
        self.enter(match (end, self.epoch) {
            (SessionEnd::Expired, Some(epoch)) => SessionState::Expired(epoch),
            (SessionEnd::AuthFailed, _) => SessionState::AuthFailed,
            (SessionEnd::Closed, _) | (SessionEnd::Expired, None) => SessionState::Closed,
        });
    }
}
