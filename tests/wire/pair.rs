//! Two servers that are told the same.

use std::{cmp::Ordering, fmt::Write as _};

use zk_proto::{
    Xid,
    client::{OpCode, ReplyHeader, RequestHeader},
    jute::decode,
};
use zk_tests::{
    masked,
    raw::{Raw, Session, connect_request},
    subject::{Kind, Settings, Subject},
};

/// Our server and Apache's, started alike.
pub(crate) struct Pair {
    pub(crate) ours: Subject,
    pub(crate) theirs: Subject,
    differences: Vec<String>,
    compared: usize,
    allowed: Option<Allowed>,
}

/// How our answers differ from Apache's on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Allowed {
    /// A multi that cannot be understood is refused before it has a zxid.
    MultiWithoutZxid,
    /// Bytes that are no text are not turned into other text: they are echoed as they came, and
    /// name no node, so nothing watches them.
    NoText,
    /// Null is no path to watch.
    NullWatch,
    /// Watches are taken up again all or not at all.
    NothingHalfDone,
}

impl Allowed {
    fn covers(self, ours: &str, theirs: &str) -> bool {
        // "reply " and the three fields of its header, eight or sixteen digits each.
        let parts = |reply: &str| {
            let header = reply.strip_prefix("reply ")?.split_at_checked(32)?;
            let (xid, zxid) = header.0.split_at(8);
            Some([xid, &zxid[..16], &zxid[16..], header.1].map(ToOwned::to_owned))
        };
        if self == Self::NothingHalfDone {
            return theirs.starts_with("event ") && theirs.ends_with(ours);
        }
        let (Some(ours), Some(theirs)) = (parts(ours), parts(theirs)) else { return false };
        let [_, _, error, body] = &ours;
        match self {
            Self::NothingHalfDone => false,
            Self::MultiWithoutZxid => {
                error == "fffffffb"
                    && theirs[2] == *error
                    && body.is_empty()
                    && ours[0] == theirs[0]
            }
            Self::NoText => {
                let is_echo = error == "00000000" && theirs[2] == *error && !body.is_empty();
                let is_miss = error == "ffffff87" && theirs[2] == "00000000";
                (is_echo || is_miss) && ours[..2] == theirs[..2]
            }
            Self::NullWatch => {
                error == "fffffffb" && theirs[2] == "00000000" && ours[..2] == theirs[..2]
            }
        }
    }
}

/// Transactions by which one server may lag behind the other.
const LEVEL_STEPS_MAX: usize = 50;

/// The same connection to both.
pub(crate) struct Twins {
    ours: Raw,
    theirs: Raw,
}

impl Pair {
    pub(crate) async fn start(settings: &Settings) -> Self {
        let (ours, theirs) = tokio::join!(
            Subject::start(Kind::Ours, settings),
            Subject::start(Kind::Apache39, settings)
        );
        Self { ours, theirs, differences: Vec::new(), compared: 0, allowed: None }
    }

    /// A new connection to each, without a session.
    pub(crate) async fn dial(&self) -> Twins {
        let (ours, theirs) =
            tokio::join!(Raw::dial(self.ours.address), Raw::dial(self.theirs.address));
        Twins { ours, theirs }
    }

    /// A new session with each.
    pub(crate) async fn open(&self) -> Twins {
        let (ours, theirs) =
            tokio::join!(Raw::open(self.ours.address), Raw::open(self.theirs.address));
        Twins { ours, theirs }
    }

    /// Ends the sessions, over a new connection where the old one is broken.
    pub(crate) async fn close(&self, twins: Twins) {
        tokio::join!(end(&self.ours, twins.ours), end(&self.theirs, twins.theirs));
    }

    /// Sends the same first frame on both, and compares what comes back.
    pub(crate) async fn connect(&mut self, what: &str, twins: &mut Twins, frame: &[u8]) {
        let (ours, theirs) =
            tokio::join!(connect(&mut twins.ours, frame), connect(&mut twins.theirs, frame));
        self.compare(what, frame, &ours, &theirs);
    }

    /// Sends the same request on both, and compares all that comes back. Answers whether both
    /// connections are still good.
    pub(crate) async fn exchange(&mut self, what: &str, twins: &mut Twins, frame: &[u8]) -> bool {
        let (ours, theirs) =
            tokio::join!(answer(&mut twins.ours, frame), answer(&mut twins.theirs, frame));
        self.compare(what, frame, &ours.0, &theirs.0);
        if ours.0 != theirs.0 && !self.level().await {
            self.differences.push(format!("{what}: the zxids are far apart"));
        }
        ours.1 && theirs.1
    }

    /// Lets the server whose zxid lags behind catch up, so that one difference does not cause
    /// others. Answers whether it could.
    async fn level(&self) -> bool {
        let (mut ours, mut theirs) =
            tokio::join!(Raw::dial(self.ours.address), Raw::dial(self.theirs.address));
        let request = connect_request(4_000);
        tokio::join!(ours.handshake(&request), theirs.handshake(&request));
        let exists =
            async |raw: &mut Raw| raw.see(OpCode::Exists, "/", false).await.header.zxid.get();
        for _ in 0..LEVEL_STEPS_MAX {
            let (left, right) = tokio::join!(exists(&mut ours), exists(&mut theirs));
            match left.cmp(&right) {
                Ordering::Equal => {
                    tokio::join!(ours.close(), theirs.close());
                    return true;
                }
                Ordering::Less => drop(ours.delete("/never/there").await),
                Ordering::Greater => drop(theirs.delete("/never/there").await),
            }
        }
        false
    }

    /// Says in which one way, a way of our own, the next answers may differ.
    pub(crate) fn allow(&mut self, allowed: Option<Allowed>) {
        self.allowed = allowed;
    }

    fn compare(&mut self, what: &str, frame: &[u8], ours: &str, theirs: &str) {
        self.compared += 1;
        let is_allowed = self.allowed.is_some_and(|allowed| allowed.covers(ours, theirs));
        if ours != theirs && !is_allowed {
            let sent = hex(frame);
            self.differences
                .push(format!("{what}\n  sent   {sent}\n  ours   {ours}\n  theirs {theirs}"));
        }
    }

    /// Fails with everything that differed.
    pub(crate) fn finish(self) {
        assert!(self.compared > 0, "nothing was compared");
        let count = self.differences.len();
        let shown = self.differences.iter().take(200).cloned().collect::<Vec<_>>().join("\n");
        assert!(count == 0, "{count} of {} answers differ:\n{shown}", self.compared);
    }
}

async fn end(subject: &Subject, mut raw: Raw) {
    let session: Session = raw.session.clone();
    if session.timeout_ms > 0 {
        if raw.is_alive().await {
            return raw.close().await;
        }
        let (raw, resumed) = Raw::resume(subject.address, &session).await;
        if resumed.is_some_and(|resumed| resumed.timeout_ms > 0) {
            raw.close().await;
        }
    }
}

async fn connect(raw: &mut Raw, frame: &[u8]) -> String {
    raw.send_frame(frame).await;
    match raw.next_frame().await {
        Some(response) => hex(&masked::connect_response(&response)),
        None => "hung up".to_owned(),
    }
}

/// Everything that comes back for a frame, and whether the connection is still good.
async fn answer(raw: &mut Raw, frame: &[u8]) -> (String, bool) {
    let op = decode::<RequestHeader>(frame).map_or(0, |header| header.op);
    raw.send_frame(frame).await;
    let mut said = String::new();
    loop {
        let Some(reply) = raw.next_frame().await else {
            said.push_str("hung up");
            return (said, false);
        };
        let header = decode::<ReplyHeader>(&reply).expect("a reply header");
        if header.xid == Xid::NOTIFICATION {
            write!(said, "event {} ", hex(&reply)).expect("a string takes everything");
            continue;
        }
        write!(said, "reply {}", hex(&masked::reply(op, &reply))).expect("as above");
        // After these two the server hangs up; elsewhere it waits for more.
        if matches!(header.error, -6 | -115 | -124) || op == -11 {
            let is_alive = raw.is_alive().await;
            said.push_str(if is_alive { "" } else { ", hung up" });
            return (said, is_alive);
        }
        return (said, true);
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(400) {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    if bytes.len() > 400 {
        write!(text, "... ({} bytes)", bytes.len()).expect("as above");
    }
    text
}
