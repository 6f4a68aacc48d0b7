//! Sending: straight from the peer's buffers into the sockets, one send per connection and turn.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite as _;
use zk_proto::ConnId;
use zk_server_core::output::CloseReason;

use super::Hub;
use crate::{
    faults,
    slots::{Sending, Stage},
};

/// Buffers kept for later, and bytes of memory above which one is not kept.
const SPARE_WRITERS_MAX: usize = 64;
const SPARE_WRITER_BYTES_MAX: usize = 64 * 1024;

impl Hub {
    /// Sends what waits for a blocked connection; ready once it is not blocked any more.
    pub(crate) fn poll_flush(&mut self, conn: ConnId, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(slot) = self.slots.get_mut(conn).filter(|s| s.sending == Sending::Blocked)
            else {
                return Poll::Ready(());
            };
            let outgoing = self.peer.outgoing(conn);
            let bytes = outgoing.and_then(|writer| writer.as_slice().get(slot.sent..));
            let bytes = bytes.unwrap_or_default();
            if bytes.is_empty() {
                self.sent_all(conn);
                return Poll::Ready(());
            }
            if let Ok(count) = ready!(Pin::new(&mut slot.write).poll_write(cx, bytes)) {
                self.sent(conn, count);
            } else {
                self.end(conn, None);
                return Poll::Ready(());
            }
        }
    }

    /// Lends a buffer to a connection whose requests are about to be answered.
    pub(crate) fn lend_writer(&mut self, conn: ConnId) {
        if self.spare_writers.is_empty() {
            return;
        }
        if let Some(writer) = self.peer.outgoing(conn)
            && writer.capacity() == 0
            && let Some(spare) = self.spare_writers.pop()
        {
            *writer = spare;
        }
    }

    /// Remembers that a connection has something to send at the end of the turn.
    pub(super) fn will_send(&mut self, conn: ConnId) {
        if let Some(slot) = self.slots.get_mut(conn)
            && slot.sending == Sending::Idle
        {
            slot.sending = Sending::Queued;
            self.to_send.push(conn);
        }
    }

    /// Ends a connection once everything that waits for it is sent.
    pub(super) fn close(&mut self, conn: ConnId, reason: CloseReason) {
        let Some(slot) = self.slots.get_mut(conn) else {
            return;
        };
        slot.stage = Stage::Closing(reason);
        if reason == CloseReason::OutboundFull {
            // It does not read: there is no point in waiting for it.
            return self.end(conn, Some(reason));
        }
        self.give_up_later(conn);
        self.will_send(conn);
    }

    /// Sends what waits for a connection, as far as the socket takes it.
    pub(super) fn flush(&mut self, conn: ConnId) {
        self.cut_at_doom(conn);
        loop {
            let Some(slot) = self.slots.get_mut(conn).filter(|s| s.sending == Sending::Queued)
            else {
                return;
            };
            let outgoing = self.peer.outgoing(conn);
            let bytes = outgoing.and_then(|writer| writer.as_slice().get(slot.sent..));
            let bytes = bytes.unwrap_or_default();
            if bytes.is_empty() {
                return self.sent_all(conn);
            }
            match slot.write.try_write(bytes) {
                Ok(count) => self.sent(conn, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    slot.sending = Sending::Blocked;
                    return slot.wake();
                }
                Err(_) => return self.end(conn, None),
            }
        }
    }

    /// Forgets bytes that are sent, once that is worth moving the rest for.
    fn sent(&mut self, conn: ConnId, count: usize) {
        let (Some(slot), Some(writer)) = (self.slots.get_mut(conn), self.peer.outgoing(conn))
        else {
            return;
        };
        slot.sent += count;
        assert!(slot.sent <= writer.len(), "more was sent than there was");
        if slot.sent * 2 >= writer.len() && slot.sent < writer.len() {
            writer.consume(slot.sent);
            if let Some((_, start)) = &mut slot.doomed {
                *start = start.saturating_sub(slot.sent);
            }
            slot.sent = 0;
        }
    }

    fn sent_all(&mut self, conn: ConnId) {
        let Some(slot) = self.slots.get_mut(conn) else {
            return;
        };
        slot.sent = 0;
        slot.sending = Sending::Idle;
        if let Some((_, start)) = &mut slot.doomed {
            *start = 0;
        }
        let (stage, is_paused) = (slot.stage, slot.is_paused);
        if is_paused {
            self.drained.push(conn);
            // Where the socket had been full, this is not part of the driver's turn.
            self.wake_driver();
        }
        if let Some(writer) = self.peer.outgoing(conn) {
            // An idle connection owns no buffer.
            let mut writer = mem::take(writer);
            writer.clear();
            let is_worth_keeping = (1..=SPARE_WRITER_BYTES_MAX).contains(&writer.capacity());
            if is_worth_keeping && self.spare_writers.len() < SPARE_WRITERS_MAX {
                self.spare_writers.push(writer);
            }
        }
        match stage {
            Stage::Closing(reason) => self.end(conn, Some(reason)),
            Stage::Fresh | Stage::Introduced => {}
        }
    }

    /// Ends a doomed connection right before the reply it must not see.
    fn cut_at_doom(&mut self, conn: ConnId) {
        let Some(slot) = self.slots.get_mut(conn) else {
            return;
        };
        let (Some((xid, start)), Some(writer)) = (slot.doomed, self.peer.outgoing(conn)) else {
            return;
        };
        if let Some(cut) = faults::find_reply(writer.as_slice(), start, xid) {
            writer.truncate(cut);
            slot.doomed = None;
            slot.stage = Stage::Closing(CloseReason::SessionMoved);
        }
    }
}
