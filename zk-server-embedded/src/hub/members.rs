//! Other members: carrying out what the peer wants of them, and telling it what they do.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{io::AsyncWrite as _, net::TcpStream, task};
use zk_proto::{ConnId, Now, ServerId, ensemble::HostPort, jute::Writer};
use zk_server_core::{
    election::{LinkClose, LinkInput, LinkOutput},
    input::Input,
    limits::LOG_READ_BYTES_MAX,
    member::{MemberInput, MemberOutput},
    storage::store::Command,
};

use super::Hub;
use crate::{
    links::{Line, Link, LinkNews, LinkSettings, Port},
    net::{self, LinkTask},
    slots::Sending,
};

/// How long a link that ends has for taking its last bytes.
const LAST_BYTES_AFTER: Duration = Duration::from_secs(5);

/// Memory that the buffer of an idle link keeps.
const OUT_BYTES_KEPT: usize = 64 * 1024;

impl Hub {
    /// Does one thing the peer wants of other members.
    pub(super) fn carry_out_for_member(&mut self, asked: MemberOutput) {
        match asked {
            MemberOutput::Ballots(LinkOutput::Dial { peer, addresses }) => {
                drop(self.dial(Port::Election, peer, addresses));
            }
            MemberOutput::Ballots(LinkOutput::Write { conn, bytes }) => {
                if let Some(link) = self.links.table.get_mut(&conn) {
                    link.out.extend_from_slice(&bytes);
                    self.link_will_send(conn);
                }
            }
            MemberOutput::Ballots(LinkOutput::Close { conn, reason }) => {
                self.say_why(conn, reason);
                self.close_link(conn);
            }
            // Between the rooms of the peer; nothing to do for us.
            MemberOutput::Ballots(LinkOutput::Deliver { .. } | LinkOutput::Reach { .. }) => {}
            MemberOutput::Dial { leader, addresses } => {
                let dial = self.dial(Port::Quorum, leader, addresses);
                if let Some(earlier) = std::mem::replace(&mut self.links.leader_dial, dial) {
                    earlier.abort();
                }
            }
            MemberOutput::Listen { is_open } => {
                let hub = self.links.hub.upgrade();
                match (&mut self.links.quorum_port, hub) {
                    (Some(port), Some(hub)) if is_open => port.open(hub),
                    (Some(port), _) => port.close(),
                    (None, _) => {}
                }
            }
            MemberOutput::LinkSend { link } => self.link_will_send(link),
            MemberOutput::LinkPause { link } => {
                if let Some(link) = self.links.table.get_mut(&link) {
                    link.is_paused = true;
                }
            }
            MemberOutput::LinkResume { link } => {
                if let Some(link) = self.links.table.get_mut(&link) {
                    link.is_paused = false;
                    if let Some(waker) = &link.waker {
                        waker.wake_by_ref();
                    }
                }
            }
            MemberOutput::LinkClose { link, reason } => {
                tracing::info!(link = link.get(), ?reason, "link ends");
                self.close_link(link);
            }
            MemberOutput::SaveEpoch { file, epoch } => {
                self.storage.ask(Command::SaveEpoch { file, epoch });
            }
            MemberOutput::Truncate { last } => self.storage.ask(Command::Truncate { last }),
            MemberOutput::ReadLog { link, after, upto } => {
                let bytes_max = LOG_READ_BYTES_MAX;
                self.storage.ask(Command::ReadLog { link, after, upto, bytes_max });
            }
        }
    }

    /// Says why a link of the election port ends; aloud where somebody has to change something.
    // reliability.md F32
    fn say_why(&self, conn: ConnId, reason: LinkClose) {
        let remote = self.links.table.get(&conn).map(|link| link.remote);
        if reason == LinkClose::OurOwnId {
            tracing::warn!(?remote, "another server has our number (myid)");
        } else {
            tracing::debug!(?remote, conn = conn.get(), ?reason, "election link ends");
        }
    }

    /// Lets a member in that has connected.
    pub(crate) fn link_accepted(&mut self, port: Port, stream: TcpStream, remote: SocketAddr) {
        let harness = self.links.settings.as_ref().and_then(|settings| settings.harness.as_ref());
        let other = harness.and_then(|harness| harness.wires.dialler(remote));
        let Some(link) = self.add_link(port, stream, other) else { return };
        self.member_input(match port {
            Port::Election => MemberInput::Ballots(LinkInput::Accepted { conn: link }),
            Port::Quorum => MemberInput::LinkAccepted { link },
        });
    }

    /// Hands over what another member has sent.
    pub(crate) fn link_received(&mut self, link: ConnId, bytes: &[u8]) {
        let Some(port) = self.links.table.get(&link).map(|link| link.port) else { return };
        self.member_input(match port {
            Port::Election => MemberInput::Ballots(LinkInput::Bytes { conn: link, bytes }),
            Port::Quorum => MemberInput::LinkBytes { link, bytes },
        });
    }

    /// Whether nothing is to be read from a link at the moment; its task is woken when it is again.
    pub(crate) fn is_link_paused(&self, link: ConnId) -> bool {
        self.links.table.get(&link).is_some_and(|link| link.is_paused)
    }

    /// What a link's task must do first in its turn: take the link's room for sending, if it waits
    /// for some. Says whether the link is still there.
    pub(crate) fn poll_link(&mut self, id: ConnId, cx: &mut Context<'_>) -> bool {
        let Some(link) = self.links.table.get_mut(&id) else { return false };
        if !link.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            link.waker = Some(cx.waker().clone());
        }
        while let Some(link) = self.links.table.get_mut(&id)
            && link.sending == Sending::Blocked
        {
            if link.line.as_ref().is_some_and(|line| line.poll_holds_outgoing(cx)) {
                return true;
            }
            let outgoing = self.peer.link_outgoing(id);
            let bytes = waiting(link.port, &link.out, outgoing, link.sent);
            if bytes.is_empty() {
                self.link_sent_all(id);
                continue;
            }
            match Pin::new(&mut link.write).poll_write(cx, bytes) {
                Poll::Ready(Ok(count)) => self.link_sent(id, count),
                Poll::Ready(Err(_)) => self.link_broke(id),
                Poll::Pending => return true,
            }
        }
        self.links.table.contains_key(&id)
    }

    /// Gives a link up because the other end did, or seems to.
    pub(crate) fn link_broke(&mut self, id: ConnId) {
        let Some(link) = self.links.table.remove(&id) else { return };
        tracing::debug!(remote = %link.remote, link = id.get(), "link with a member is gone");
        // On the election port nobody wants to hear of a link that was to be closed.
        if link.port == Port::Quorum || !link.is_closing {
            self.links.news.push(LinkNews::Closed(link.port, id));
        }
        self.wake_driver();
        if let Some(waker) = link.waker {
            waker.wake();
        }
        // The socket is closed by its other half.
        link.write.forget();
    }

    /// Gives up links that have not taken their last bytes in time.
    pub(super) fn give_up_late_links(&mut self, now: Now) {
        while let Some((at, id)) = self.links.deadlines.front().copied() {
            if !self.links.table.contains_key(&id) {
                self.links.deadlines.pop_front();
            } else if at > now.mono {
                return;
            } else {
                self.links.deadlines.pop_front();
                self.link_broke(id);
            }
        }
    }

    /// Sends what waits for other members, as far as the sockets take it.
    pub(super) fn flush_links(&mut self) {
        let mut to_send = std::mem::take(&mut self.links.to_send);
        for id in to_send.drain(..) {
            self.flush_link(id);
        }
        self.links.to_send = to_send;
    }

    /// Tells the peer what came of sending; says whether there was anything.
    pub(super) fn tell_link_news(&mut self, now: Now) -> bool {
        if self.links.news.is_empty() {
            return false;
        }
        for news in std::mem::take(&mut self.links.news) {
            let input = match news {
                LinkNews::Sent(Port::Election, conn) => {
                    MemberInput::Ballots(LinkInput::Written { conn })
                }
                LinkNews::Sent(Port::Quorum, link) => MemberInput::LinkDrained { link },
                LinkNews::Closed(Port::Election, conn) => {
                    MemberInput::Ballots(LinkInput::Closed { conn })
                }
                LinkNews::Closed(Port::Quorum, link) => MemberInput::LinkClosed { link },
            };
            self.peer.handle(now, Input::Member(input));
        }
        true
    }

    /// Ends every link at once, without a word to the peer, and everything that would make more.
    pub(crate) fn end_links(&mut self) {
        if let Some(dial) = self.links.leader_dial.take() {
            dial.abort();
        }
        if let Some(port) = &mut self.links.quorum_port {
            port.close();
        }
        for (_, link) in std::mem::take(&mut self.links.table) {
            if let Some(waker) = link.waker {
                waker.wake();
            }
            link.write.forget();
        }
    }

    /// Tells whoever waits for it how this member stands.
    pub(super) fn publish(&mut self) {
        if let Some(settings) = &mut self.links.settings
            && let Some(harness) = &mut settings.harness
        {
            harness.publish(settings.me, &self.peer);
        }
    }

    /// How long another member may be silent.
    pub(crate) fn silence_max(&self) -> Duration {
        let ticks = self.config.member.as_ref().map_or(1, |member| member.sync_ticks);
        Duration::from_millis(self.config.tick_ms.saturating_mul(ticks))
    }

    fn member_input(&mut self, input: MemberInput<'_>) {
        let now = self.clock.now();
        self.handle(now, Input::Member(input));
        self.wake_driver();
    }

    /// Starts to reach another member.
    fn dial(
        &self,
        port: Port,
        other: ServerId,
        addresses: Vec<HostPort>,
    ) -> Option<task::AbortHandle> {
        let (settings, hub) = (self.links.settings.as_ref()?, self.links.hub.upgrade()?);
        let (line, timeout) = (settings.line(other), settings.dial_timeout);
        let dialling = async move {
            let outcome = net::dial(addresses, timeout, line).await;
            super::Turn::take(&hub).dialled(port, other, outcome);
        };
        Some(task::spawn_local(dialling).abort_handle())
    }

    fn dialled(&mut self, port: Port, other: ServerId, outcome: io::Result<TcpStream>) {
        if port == Port::Quorum {
            self.links.leader_dial = None;
        }
        let link = match outcome {
            Ok(stream) => self.add_link(port, stream, Some(other)),
            Err(error) => {
                tracing::debug!(%other, %error, "the {} cannot be reached", port.what());
                None
            }
        };
        self.member_input(match (port, link) {
            (Port::Election, Some(conn)) => {
                MemberInput::Ballots(LinkInput::Dialled { peer: other, conn })
            }
            (Port::Election, None) => MemberInput::Ballots(LinkInput::DialFailed { peer: other }),
            (Port::Quorum, Some(link)) => MemberInput::LinkDialled { link },
            (Port::Quorum, None) => MemberInput::LinkDialFailed,
        });
    }

    /// Takes a connection in; `None` where it is gone already.
    fn add_link(
        &mut self,
        port: Port,
        stream: TcpStream,
        other: Option<ServerId>,
    ) -> Option<ConnId> {
        let remote = stream.peer_addr().ok()?;
        let hub = self.links.hub.upgrade()?;
        let through = other.and_then(|other| self.links.settings.as_ref()?.line(other));
        let (read, write) = stream.into_split();
        let id = self.links.next_number();
        let link = Link {
            port,
            remote,
            write,
            out: Vec::new(),
            sent: 0,
            sending: Sending::Idle,
            is_closing: false,
            is_paused: false,
            waker: None,
            line: through.clone(),
        };
        self.links.table.insert(id, link);
        task::spawn_local(LinkTask::new(hub, id, read, through));
        Some(id)
    }

    fn link_will_send(&mut self, id: ConnId) {
        if let Some(link) = self.links.table.get_mut(&id)
            && link.sending == Sending::Idle
        {
            link.sending = Sending::Queued;
            self.links.to_send.push(id);
        }
    }

    fn close_link(&mut self, id: ConnId) {
        let now = self.clock.now();
        if let Some(link) = self.links.table.get_mut(&id) {
            link.is_closing = true;
            self.links.deadlines.push_back((now.mono + LAST_BYTES_AFTER, id));
            self.link_will_send(id);
        }
    }

    fn flush_link(&mut self, id: ConnId) {
        while let Some(link) = self.links.table.get_mut(&id)
            && link.sending == Sending::Queued
        {
            let outgoing = self.peer.link_outgoing(id);
            let bytes = waiting(link.port, &link.out, outgoing, link.sent);
            if bytes.is_empty() {
                return self.link_sent_all(id);
            }
            let outcome = if link.line.as_ref().is_some_and(Line::holds_outgoing) {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                link.write.try_write(bytes)
            };
            match outcome {
                Ok(count) => self.link_sent(id, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    link.sending = Sending::Blocked;
                    if let Some(waker) = &link.waker {
                        waker.wake_by_ref();
                    }
                    return;
                }
                Err(_) => return self.link_broke(id),
            }
        }
    }

    /// Forgets bytes that are sent, once that is worth moving the rest for.
    fn link_sent(&mut self, id: ConnId, count: usize) {
        let Some(link) = self.links.table.get_mut(&id) else { return };
        link.sent += count;
        let sent = link.sent;
        match link.port {
            Port::Election if sent * 2 >= link.out.len() && sent < link.out.len() => {
                link.out.drain(..sent);
                link.sent = 0;
            }
            Port::Election => {}
            Port::Quorum => {
                if let Some(writer) = self.peer.link_outgoing(id) {
                    assert!(sent <= writer.len(), "more was sent than there was");
                    if sent * 2 >= writer.len() && sent < writer.len() {
                        writer.consume(sent);
                        link.sent = 0;
                    }
                }
            }
        }
    }

    fn link_sent_all(&mut self, id: ConnId) {
        let Some(link) = self.links.table.get_mut(&id) else { return };
        link.sent = 0;
        link.sending = Sending::Idle;
        match link.port {
            Port::Election => {
                link.out.clear();
                link.out.shrink_to(OUT_BYTES_KEPT);
            }
            Port::Quorum => {
                if let Some(writer) = self.peer.link_outgoing(id) {
                    writer.clear();
                    if writer.capacity() > OUT_BYTES_KEPT {
                        *writer = Writer::new();
                    }
                }
            }
        }
        let (port, is_closing) = (link.port, link.is_closing);
        if is_closing {
            return self.link_broke(id);
        }
        self.links.news.push(LinkNews::Sent(port, id));
        // Where the socket had been full, this is not part of the driver's turn.
        self.wake_driver();
    }
}

/// What waits to be sent: of the link itself, or of the peer.
fn waiting<'a>(
    port: Port,
    out: &'a [u8],
    outgoing: Option<&'a mut Writer>,
    sent: usize,
) -> &'a [u8] {
    let bytes = match (port, outgoing) {
        (Port::Election, _) => out,
        (Port::Quorum, Some(writer)) => writer.as_slice(),
        (Port::Quorum, None) => &[],
    };
    bytes.get(sent..).unwrap_or_default()
}

impl LinkSettings {
    /// The piece of a test's network towards another member.
    fn line(&self, other: ServerId) -> Option<Line> {
        let wires = Arc::clone(&self.harness.as_ref()?.wires);
        Some(Line { wires, me: self.me, other })
    }
}
