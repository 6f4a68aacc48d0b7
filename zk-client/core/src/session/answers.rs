//! What the server says: answers, events, verdicts on credentials. Everything is checked; a broken
//! rule is a [`Violation`].

use alloc::string::ToString;

use bytes::{Buf, Bytes, BytesMut};
use zk_proto::{
    ErrorCode, Xid, Zxid,
    client::{ReplyHeader, WatcherEvent, WatcherType},
    frame::{FrameError, split_frame},
    jute::{Decode, Reader, decode},
};

use super::{Link, Session};
use crate::{
    input::{Watch, WatchKind},
    limits::HANDSHAKE_BYTES_MAX,
    line::Effect,
    output::{
        Answer, DisconnectReason, Event, EventKind, Failure, Notice, Output, Stamp, WatchEnd,
    },
    state::SessionEnd,
    violation::Violation,
    watches::List,
};

impl Session {
    /// Bytes that lay there during a pause of the whole process are taken for what they say, and
    /// not for a sign of life: the connection ends as it would have without the pause. Whoever
    /// answers next may be behind its leader, which may have ended the session meanwhile; a
    /// session taken up again is the leader's word.
    pub(super) fn received(&mut self, bytes: &mut BytesMut) {
        let reason = match self.link {
            Link::Greeting { give_up_at, .. } if give_up_at <= self.now => {
                Some(DisconnectReason::HandshakeTooLong)
            }
            Link::Up if self.liveness.silent_at() <= self.now => Some(DisconnectReason::Silent),
            Link::Down { .. }
            | Link::Opening { .. }
            | Link::Greeting { .. }
            | Link::Up
            | Link::Parked
            | Link::Over => None,
        };
        if let Err(violation) = self.receive(bytes) {
            bytes.clear();
            self.disconnect(DisconnectReason::Violation(violation));
        } else if let Some(reason) = reason
            && matches!(self.link, Link::Greeting { .. } | Link::Up)
        {
            self.disconnect(reason);
        }
    }

    fn receive(&mut self, bytes: &mut BytesMut) -> Result<(), Violation> {
        loop {
            let frame_bytes_max = match self.link {
                Link::Up => self.config.frame_bytes_max,
                Link::Greeting { .. } => HANDSHAKE_BYTES_MAX,
                Link::Down { .. } | Link::Opening { .. } | Link::Parked | Link::Over => {
                    bytes.clear();
                    return Ok(());
                }
            };
            let split = match split_frame(bytes, frame_bytes_max) {
                Ok(Some(split)) => split,
                Ok(None) => return Ok(()),
                Err(error) if self.link == Link::Up && self.name_too_large(bytes, error) => {
                    bytes.clear();
                    self.disconnect(DisconnectReason::AnswerTooLarge);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let frame_bytes = 4 + split.body.len();
            let mut frame = bytes.split_to(frame_bytes).freeze();
            frame.advance(4);
            match self.link {
                Link::Greeting { asked, .. } => self.greeted(&frame, asked)?,
                Link::Down { .. } | Link::Opening { .. } | Link::Up | Link::Parked | Link::Over => {
                    self.heard(frame)?;
                }
            }
        }
    }

    /// Whether a frame that is too large answers the oldest question, which then fails by that
    /// name. Servers limit what they accept, and not what they answer: a list of children may be of
    /// any size.
    fn name_too_large(&mut self, bytes: &[u8], error: FrameError) -> bool {
        let (Ok(size), Some(xid)) = (usize::try_from(error.length), bytes.get(4..8)) else {
            return false;
        };
        let Ok(xid) = decode::<Xid>(xid) else { return false };
        let Ok(entry) = self.line.answered(xid) else { return false };
        let bytes_max = error.frame_bytes_max;
        self.lost(entry, Failure::AnswerTooLarge { bytes: size, bytes_max });
        true
    }

    pub(super) fn heard(&mut self, mut frame: Bytes) -> Result<(), Violation> {
        let mut reader = Reader::new(&frame);
        let header = ReplyHeader::decode(&mut reader)?;
        frame.advance(ReplyHeader::WIRE_BYTES);
        if self.proving.waits_for(header.xid) {
            return self.proved(header, &frame);
        }
        // Events prove nothing: they come although what we send is lost.
        if header.xid != Xid::NOTIFICATION {
            self.liveness.heard(self.now);
        }
        match header.xid {
            Xid::NOTIFICATION => self.fired(header.zxid, &frame),
            Xid::PING if self.liveness.ping_answered() => {
                self.endpoints.succeeded();
                self.revive();
                Ok(())
            }
            Xid::PING => Err(Violation::Unasked { got: header.xid }),
            Xid::AUTH => self.judged(header.error),
            Xid::SET_WATCHES => self.rewatched(header),
            _ => self.answered(header, frame),
        }
    }

    pub(super) fn answered(&mut self, header: ReplyHeader, body: Bytes) -> Result<(), Violation> {
        self.see(header.zxid)?;
        let entry = self.line.answered(header.xid)?;
        self.liveness.answered(entry.sent_at);
        self.endpoints.succeeded();
        self.revive();
        if let Some(closing) = &mut self.closing {
            closing.put_off(self.now);
        }
        let error = ErrorCode::new(header.error);
        let (token, is_awaited) = (entry.token, entry.is_awaited);
        // Notices of removed watches and the like come after the answer.
        if is_awaited {
            let result = if error == ErrorCode::Ok {
                Ok(Answer { zxid: header.zxid, body })
            } else {
                Err(Failure::Refused(error))
            };
            let stamp = self.epoch.map(|epoch| Stamp { epoch, zxid: header.zxid });
            self.outputs.push_back(Output::Answer { token, result, stamp });
        }
        match entry.effect {
            Effect::None => {}
            Effect::Watch(watch) => self.watched(&watch, error),
            Effect::Remove(removal) => {
                let (path, kind) = *removal;
                self.lacks_removal |= error == ErrorCode::Unimplemented;
                if error == ErrorCode::Ok {
                    for id in self.watches.remove(&path, kind) {
                        let notice = Notice::End(WatchEnd::Removed);
                        self.outputs.push_back(Output::Notify { id, notice });
                    }
                }
            }
            Effect::Cleanup(removal) => {
                let (path, kind) = *removal;
                // ZooKeeper: UnimplementedRequestProcessor answers, and ends the connection.
                self.lacks_removal |= error == ErrorCode::Unimplemented;
                // Servers before 3.9 cannot remove one kind of persistent watch by itself.
                let is_persistent =
                    matches!(kind, WatcherType::Persistent | WatcherType::PersistentRecursive);
                if error == ErrorCode::MarshallingError
                    && is_persistent
                    && self.watches.is_free(&path)
                {
                    self.clean_up(&path, WatcherType::Any);
                }
            }
            Effect::Close => self.finish(SessionEnd::Closed),
        }
        Ok(())
    }

    /// The request that sets `watch` was answered.
    // ZooKeeper: WatchRegistration.register
    pub(super) fn watched(&mut self, watch: &Watch, error: ErrorCode) {
        let list = match (watch.kind, error) {
            (WatchKind::Data | WatchKind::Exists, ErrorCode::Ok) => Some(List::Data),
            (WatchKind::Exists, ErrorCode::NoNode) => Some(List::Exist),
            (WatchKind::Children, ErrorCode::Ok) => Some(List::Child),
            (WatchKind::Persistent, ErrorCode::Ok) => Some(List::Persistent),
            (WatchKind::Recursive, ErrorCode::Ok) => Some(List::Recursive),
            _ => None,
        };
        if let Some(kind) = self.watches.settle(watch, list) {
            self.clean_up(&watch.path, kind);
        }
    }

    pub(super) fn fired(&mut self, zxid: Zxid, body: &[u8]) -> Result<(), Violation> {
        let mut reader = Reader::new(body);
        let event = WatcherEvent::decode(&mut reader)?;
        // ZooKeeper: Watcher.Event.EventType
        let kind = match event.event {
            1 => EventKind::Created,
            2 => EventKind::Deleted,
            3 => EventKind::DataChanged,
            4 => EventKind::ChildrenChanged,
            got => return Err(Violation::UnknownEvent { got }),
        };
        let path = Reader::new(body.get(8..).unwrap_or_default()).text()?;
        let zxid = (zxid > Zxid::ZERO).then_some(zxid);
        let Some(epoch) = self.epoch else {
            return Ok(());
        };
        for id in self.watches.fire(kind, path) {
            let event = Event { kind, path: path.to_string(), zxid, epoch };
            self.outputs.push_back(Output::Notify { id, notice: Notice::Event(event) });
        }
        Ok(())
    }

    pub(super) fn judged(&mut self, error: i32) -> Result<(), Violation> {
        if error != 0 {
            self.finish(SessionEnd::AuthFailed);
            return Ok(());
        }
        match self.auth.accepted() {
            Ok(Some(token)) => {
                let result = Ok(Answer { zxid: Zxid::ZERO, body: Bytes::new() });
                let stamp = self.epoch.map(|epoch| Stamp { epoch, zxid: Zxid::ZERO });
                self.outputs.push_back(Output::Answer { token, result, stamp });
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(()) => Err(Violation::Unasked { got: Xid::AUTH }),
        }
    }

    pub(super) fn rewatched(&mut self, header: ReplyHeader) -> Result<(), Violation> {
        self.rewatching_count =
            self.rewatching_count.checked_sub(1).ok_or(Violation::Unasked { got: header.xid })?;
        match header.error {
            0 => Ok(()),
            code => Err(Violation::WatchesRefused { code }),
        }
    }

    /// An answer showed the ensemble at `zxid`. Answers from outside the pipeline show none.
    pub(super) fn see(&mut self, zxid: Zxid) -> Result<(), Violation> {
        if zxid <= Zxid::ZERO {
            return Ok(());
        }
        if zxid < self.seen {
            return Err(Violation::WentBack { seen: self.seen, got: zxid });
        }
        self.seen = zxid;
        Ok(())
    }
}
