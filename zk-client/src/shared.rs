//! What the handles and the driver share: the session, the answers, the events.
//!
//! ```text
//!   Client::get() ──► lock: encode into the session's outgoing bytes, take a slot ──► wake driver
//!   Driver        ──► lock: take all outgoing bytes ──► one write
//!   Driver        ◄── one read ──► lock: answers into slots, events into mailboxes ──► wake
//!   callers
//! ```
//!
//! The lock is held for short steps only, never across an `.await`, and never while a waker is
//! woken or dropped: that may run or drop a caller's future, which comes back here. Only the driver
//! drains the session's outputs.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use zk_client_core::{
    Answer, Candidate, Credentials, Failure, Input, Notice, Outcome, Request, Server, Session,
    SessionEnd, SessionEpoch, SessionState, Stamp, Token, Watch, WatchId, WatchKind,
};
use zk_proto::{
    ErrorCode, Instant, Zxid,
    client::{OpCode, WatcherType},
    jute::Encode,
};

use crate::{
    meter::{self, Asked},
    runtime::Runtime,
    state::StateCell,
};

pub(crate) struct Shared {
    inner: Mutex<Inner>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) states: StateCell<SessionState>,
    /// Rings at each attempt to connect, and when the list of servers has another source.
    pub(crate) bell: StateCell<()>,
    pub(crate) trouble: Trouble,
    watch_buffer_max: usize,
    #[cfg(feature = "dns-srv")]
    pub(crate) srv_lookup: Arc<dyn crate::runtime::SrvLookup>,
}

/// What went wrong last while looking for a server, for people to read.
#[derive(Default)]
pub(crate) struct Trouble(Mutex<Option<String>>);

impl Trouble {
    pub(crate) fn note(&self, what: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }

    /// Unless something went wrong already.
    pub(crate) fn note_first(&self, what: impl FnOnce() -> String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(what);
    }

    pub(crate) fn last(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }
}

pub(crate) struct Inner {
    pub(crate) session: Session,
    pub(crate) slots: Slots,
    pub(crate) mailboxes: BTreeMap<WatchId, Mailbox>,
    /// What handles bound to the session are told.
    pub(crate) session_states: SessionStates,
    /// Set while the driver is parked.
    pub(crate) driver: Option<Waker>,
    /// Where the connection leads, or the attempt to make one, and which it is, counted from 1.
    pub(crate) connection: (Option<Server>, u64),
    /// Whether the driver was dropped before the session ended, as when its runtime shuts down.
    pub(crate) is_orphaned: bool,
    /// Counts those who give the list of servers, one after the other.
    source: u64,
    /// The session whose server was found to know no persistent watches. Asked again, it would end
    /// the connection each time; the next session may be served by another.
    lacks_persistent_watches: Option<u64>,
    seq: u64,
    next_watch: u64,
}

/// What is told of one session, or of the next one while there is none.
pub(crate) struct SessionStates {
    pub(crate) number: u64,
    pub(crate) cell: StateCell<SessionState>,
}

impl SessionStates {
    /// Whom to tell of `state`. What follows an end is told of the next session, if there is one.
    pub(crate) fn pass(&mut self, state: SessionState, is_over: bool) -> StateCell<SessionState> {
        let cell = self.cell.clone();
        if state.end().is_some() && !is_over {
            self.number += 1;
            self.cell = StateCell::new(SessionState::Connecting);
        }
        cell
    }
}

/// The session that a handle is bound to.
#[derive(Clone)]
pub(crate) struct Bound {
    pub(crate) number: u64,
    pub(crate) states: StateCell<SessionState>,
}

/// What is asked besides the request itself.
#[derive(Default)]
pub(crate) struct Extras<'a> {
    /// The only session that the request may be asked in.
    pub(crate) session: Option<u64>,
    /// The watch that it sets.
    pub(crate) watch: Option<(WatchKind, &'a str)>,
    /// The watches that it removes.
    pub(crate) removes: Option<(Box<str>, WatcherType)>,
}

/// An answer, or why there is none, and where it comes from.
pub(crate) struct Answered {
    pub(crate) result: Result<Answer, Failure>,
    pub(crate) stamp: Option<Stamp>,
}

/// A request that has taken its place.
#[derive(Clone, Copy)]
pub(crate) struct Submitted {
    pub(crate) token: Token,
    pub(crate) watch: Option<WatchId>,
}

/// The slot of requests that nobody waits for.
const NOBODY: u32 = u32::MAX;

impl Shared {
    pub(crate) fn new(
        session: Session,
        runtime: Arc<dyn Runtime>,
        watch_buffer_max: usize,
    ) -> Self {
        let states = StateCell::new(session.state());
        let cell = StateCell::new(session.state());
        let session_states = SessionStates { number: session.number(), cell };
        let inner = Inner {
            session,
            session_states,
            slots: Slots::default(),
            mailboxes: BTreeMap::new(),
            driver: None,
            connection: (None, 0),
            is_orphaned: false,
            source: 0,
            lacks_persistent_watches: None,
            seq: 0,
            next_watch: 0,
        };
        let trouble = Trouble::default();
        let bell = StateCell::new(());
        Self {
            inner: Mutex::new(inner),
            runtime,
            states,
            bell,
            trouble,
            watch_buffer_max,
            #[cfg(feature = "dns-srv")]
            srv_lookup: Arc::new(crate::runtime::Dns::system()),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the order of requests.
    pub(crate) fn submit(
        &self,
        op: OpCode,
        body: &dyn Encode,
        extras: Extras<'_>,
        deadline: Instant,
    ) -> Result<Submitted, Failure> {
        let Extras { session, watch, removes } = extras;
        let now = self.runtime.now();
        let mut inner = self.lock();
        inner.refuse_if_over()?;
        inner.refuse_if_gone(session)?;
        let token = inner.take_slot(Asked::new(op, now));
        let watch = watch.map(|(kind, path)| {
            let id = WatchId(inner.next_watch);
            inner.next_watch += 1;
            let is_persistent = matches!(kind, WatchKind::Persistent | WatchKind::Recursive);
            let notices_max = if is_persistent { self.watch_buffer_max } else { 1 };
            let asked = is_persistent.then(|| (kind, path.into()));
            inner.mailboxes.insert(id, Mailbox::new(notices_max, asked));
            meter::watching();
            Watch { id, kind, path: path.into(), ends_with_session: session.is_some() }
        });
        let id = watch.as_ref().map(|watch| watch.id);
        if op == OpCode::AddWatch && inner.lacks_persistent_watches == Some(inner.session.number())
        {
            let result = Err(Failure::Refused(ErrorCode::Unimplemented));
            // Nobody waits for a request that was made this moment.
            let _nobody = inner.slots.answer(token, Answered { result, stamp: None }, now);
            return Ok(Submitted { token, watch: id });
        }
        let request = Request { token, op, body, watch, removes, deadline };
        inner.session.handle(now, Input::Request(request));
        Self::wake_driver(inner);
        Ok(Submitted { token, watch: id })
    }

    pub(crate) fn authenticate(
        &self,
        session: Option<u64>,
        credentials: Credentials,
        deadline: Instant,
    ) -> Result<Submitted, Failure> {
        let now = self.runtime.now();
        let mut inner = self.lock();
        inner.refuse_if_over()?;
        inner.refuse_if_gone(session)?;
        let token = inner.take_slot(Asked::new(OpCode::Auth, now));
        inner.session.handle(now, Input::Authenticate { credentials, token, deadline });
        Self::wake_driver(inner);
        Ok(Submitted { token, watch: None })
    }

    pub(crate) fn close(&self, session: Option<u64>) -> Result<Submitted, Failure> {
        let now = self.runtime.now();
        let mut inner = self.lock();
        inner.refuse_if_over()?;
        inner.refuse_if_gone(session)?;
        let token = inner.take_slot(Asked::new(OpCode::CloseSession, now));
        inner.session.handle(now, Input::Close(token));
        Self::wake_driver(inner);
        Ok(Submitted { token, watch: None })
    }

    /// Looks SRV records up by this, if there is one.
    #[cfg(feature = "dns-srv")]
    pub(crate) fn looking_up_by(
        mut self,
        srv_lookup: Option<Arc<dyn crate::runtime::SrvLookup>>,
    ) -> Self {
        self.srv_lookup = srv_lookup.unwrap_or(self.srv_lookup);
        self
    }

    /// Another source gives the list of servers from here on. Returns its number.
    pub(crate) fn next_source(&self) -> u64 {
        let mut inner = self.lock();
        inner.source += 1;
        let source = inner.source;
        drop(inner);
        self.bell.set(());
        source
    }

    /// The number of the source that gives the list of servers.
    pub(crate) fn source(&self) -> u64 {
        self.lock().source
    }

    /// There is another list of servers, unless it comes from a source that gives it no more.
    pub(crate) fn set_servers(&self, source: u64, servers: Vec<Candidate>) {
        let now = self.runtime.now();
        let mut inner = self.lock();
        if inner.source == source {
            inner.session.handle(now, Input::Servers(servers));
            Self::wake_driver(inner);
        }
    }

    /// Opens the next session if the client waits to be told so.
    pub(crate) fn renew(&self) {
        let now = self.runtime.now();
        let mut inner = self.lock();
        inner.session.handle(now, Input::Renew);
        Self::wake_driver(inner);
    }

    /// The session as it is, or the next one while there is none.
    pub(crate) fn bind(&self) -> Bound {
        let inner = self.lock();
        let SessionStates { number, cell } = &inner.session_states;
        Bound { number: *number, states: cell.clone() }
    }

    /// Closes without anybody waiting for it.
    pub(crate) fn close_in_background(&self) {
        let now = self.runtime.now();
        let mut inner = self.lock();
        if inner.refuse_if_over().is_ok() {
            let token = Token { slot: NOBODY, ..inner.next_token() };
            inner.session.handle(now, Input::Close(token));
            Self::wake_driver(inner);
        }
    }

    pub(crate) fn set_deadline(&self, token: Token, at: Instant) {
        let now = self.runtime.now();
        let mut inner = self.lock();
        inner.session.handle(now, Input::Deadline { token, at });
        Self::wake_driver(inner);
    }

    pub(crate) fn poll_answer(&self, token: Token, context: &Context<'_>) -> Poll<Answered> {
        let (poll, _replaced) = self.lock().slots.poll(token, context);
        poll
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn withdraw(&self, token: Token, watch: Option<WatchId>) {
        let now = self.runtime.now();
        let mut inner = self.lock();
        let _released = inner.slots.release(token);
        inner.session.handle(now, Input::Withdraw(token));
        let mailbox = watch.and_then(|id| {
            inner.session.handle(now, Input::Unwatch(id));
            inner.mailboxes.remove(&id)
        });
        if mailbox.is_some() {
            meter::watched();
        }
        Self::wake_driver(inner);
    }

    /// The watcher is gone.
    pub(crate) fn unwatch(&self, id: WatchId) {
        let now = self.runtime.now();
        let mut inner = self.lock();
        let mailbox = inner.mailboxes.remove(&id);
        if mailbox.is_some() {
            meter::watched();
        }
        inner.session.handle(now, Input::Unwatch(id));
        Self::wake_driver(inner);
    }

    pub(crate) fn poll_notice(&self, id: WatchId, context: &Context<'_>) -> Poll<Option<Notice>> {
        let (poll, _replaced) = match self.lock().mailboxes.get_mut(&id) {
            Some(mailbox) => mailbox.poll(context),
            None => (Poll::Ready(None), None),
        };
        poll
    }

    /// The server refused a watch because it knows none of its kind. The path that was to be
    /// watched, if it was that of a single node.
    pub(crate) fn lacks_persistent_watches(&self, id: WatchId) -> Option<Box<str>> {
        let mut inner = self.lock();
        inner.lacks_persistent_watches = Some(inner.session.number());
        let (kind, path) = inner.mailboxes.get_mut(&id)?.asked.take()?;
        (kind == WatchKind::Persistent).then_some(path)
    }

    /// The session, if there is one and it is the one asked for.
    pub(crate) fn epoch(&self, session: Option<u64>) -> Option<SessionEpoch> {
        let inner = self.lock();
        let epoch = if inner.is_orphaned { None } else { inner.session.state().epoch() };
        epoch.filter(|epoch| session.is_none_or(|number| number == epoch.number))
    }

    /// Where the newest connection leads, or the attempt to make one, and which it is.
    pub(crate) fn connection(&self) -> (Option<Server>, u64) {
        self.lock().connection.clone()
    }

    /// How the client ended, or the session asked for, if no other follows.
    pub(crate) fn end(&self, session: Option<u64>) -> Option<SessionEnd> {
        let inner = self.lock();
        match inner.refuse_if_over().and_then(|()| inner.refuse_if_gone(session)) {
            Err(Failure::SessionOver { end, .. }) => Some(end),
            Ok(()) | Err(_) => None,
        }
    }

    pub(crate) fn proven_until(&self, session: Option<u64>) -> Option<Instant> {
        let inner = self.lock();
        let is_asked_for = session.is_none_or(|number| number == inner.session.number());
        inner.session.proven_until().filter(|_| is_asked_for)
    }

    /// Wakes the driver if it is parked; a driver that runs looks again before it parks.
    fn wake_driver(mut inner: MutexGuard<'_, Inner>) {
        let driver = inner.driver.take();
        drop(inner);
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

impl Inner {
    fn refuse_if_over(&self) -> Result<(), Failure> {
        let end = match self.session.state().end() {
            _ if self.is_orphaned => SessionEnd::Closed,
            Some(end) if self.session.is_over() => end,
            Some(_) | None => return Ok(()),
        };
        Err(Failure::SessionOver { end, outcome: Outcome::NotSent })
    }

    /// What belongs to a session is asked in no other.
    fn refuse_if_gone(&self, session: Option<u64>) -> Result<(), Failure> {
        match session {
            Some(number) if number != self.session.number() => {
                let end = SessionEnd::Expired;
                Err(Failure::SessionOver { end, outcome: Outcome::NotSent })
            }
            Some(_) | None => Ok(()),
        }
    }

    const fn next_token(&mut self) -> Token {
        self.seq += 1;
        Token { seq: self.seq, slot: NOBODY }
    }

    fn take_slot(&mut self, asked: Asked) -> Token {
        let seq = self.next_token().seq;
        Token { seq, slot: self.slots.take(seq, asked) }
    }
}

/// Where answers wait for their callers. A slot belongs to one request until it is released.
#[derive(Default)]
pub(crate) struct Slots {
    all: Vec<Slot>,
    free: Vec<u32>,
    /// Answers that are not fetched yet; apart, as far more requests may wait for theirs.
    answers: Vec<Option<Answered>>,
    free_answers: Vec<u32>,
}

struct Slot {
    seq: u64,
    state: SlotState,
    asked: Asked,
}

enum SlotState {
    Free,
    Waiting(Option<Waker>),
    /// The place of the answer.
    Done(u32),
}

impl Slots {
    fn take(&mut self, seq: u64, asked: Asked) -> u32 {
        let state = SlotState::Waiting(None);
        if let Some(at) = self.free.pop() {
            self.all[at as usize] = Slot { seq, state, asked };
            return at;
        }
        let at = u32::try_from(self.all.len()).expect("fewer than 2^32 requests are outstanding");
        self.all.push(Slot { seq, state, asked });
        at
    }

    /// Puts an answer into its slot; says whom to wake.
    pub(crate) fn answer(
        &mut self,
        token: Token,
        answered: Answered,
        now: Instant,
    ) -> Option<Waker> {
        let slot = self.all.get_mut(token.slot as usize)?;
        if slot.seq != token.seq {
            return None;
        }
        let SlotState::Waiting(waker) = &mut slot.state else {
            return None;
        };
        let waker = waker.take();
        slot.asked.answered(&answered.result, now);
        slot.state = SlotState::Done(put(&mut self.answers, &mut self.free_answers, answered));
        waker
    }

    /// Ends every request that is still waited for.
    pub(crate) fn answer_all(&mut self, failure: Failure) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for slot in &mut self.all {
            if let SlotState::Waiting(waker) = &mut slot.state {
                wakers.extend(waker.take());
                Asked::settled();
                let answered = Answered { result: Err(failure), stamp: None };
                let at = put(&mut self.answers, &mut self.free_answers, answered);
                slot.state = SlotState::Done(at);
            }
        }
        wakers
    }

    /// The answer, and a waker to drop once the lock is free.
    fn poll(&mut self, token: Token, context: &Context<'_>) -> (Poll<Answered>, Option<Waker>) {
        let slot = &mut self.all[token.slot as usize];
        debug_assert_eq!(slot.seq, token.seq, "a slot belongs to one request until it is released");
        match &mut slot.state {
            SlotState::Waiting(Some(waker)) if waker.will_wake(context.waker()) => {
                (Poll::Pending, None)
            }
            SlotState::Waiting(waker) => (Poll::Pending, waker.replace(context.waker().clone())),
            SlotState::Free => (Poll::Pending, None),
            &mut SlotState::Done(at) => {
                slot.state = SlotState::Free;
                self.free.push(token.slot);
                (self.fetch(at).map_or(Poll::Pending, Poll::Ready), None)
            }
        }
    }

    fn fetch(&mut self, at: u32) -> Option<Answered> {
        self.free_answers.push(at);
        self.answers[at as usize].take()
    }

    /// Frees a slot; what was in it is to be dropped once the lock is free.
    fn release(&mut self, token: Token) -> (SlotState, Option<Answered>) {
        let slot = &mut self.all[token.slot as usize];
        debug_assert_eq!(slot.seq, token.seq, "a slot belongs to one request until it is released");
        let released = std::mem::replace(&mut slot.state, SlotState::Free);
        if !matches!(released, SlotState::Free) {
            self.free.push(token.slot);
        }
        let answered = match released {
            SlotState::Waiting(_) => {
                Asked::settled();
                None
            }
            SlotState::Done(at) => self.fetch(at),
            SlotState::Free => None,
        };
        (released, answered)
    }
}

/// Puts an answer where one was fetched, or behind all others.
fn put(answers: &mut Vec<Option<Answered>>, free: &mut Vec<u32>, answered: Answered) -> u32 {
    if let Some(at) = free.pop() {
        answers[at as usize] = Some(answered);
        return at;
    }
    answers.push(Some(answered));
    u32::try_from(answers.len() - 1).expect("no more answers than slots")
}

/// Where events wait for their watcher.
pub(crate) struct Mailbox {
    notices: VecDeque<Notice>,
    notices_max: usize,
    waker: Option<Waker>,
    /// The newest transaction an event here told of.
    told: Zxid,
    /// Of a persistent watch, what was asked for.
    asked: Option<(WatchKind, Box<str>)>,
}

impl Mailbox {
    const fn new(notices_max: usize, asked: Option<(WatchKind, Box<str>)>) -> Self {
        Self { notices: VecDeque::new(), notices_max, waker: None, told: Zxid::ZERO, asked }
    }

    /// Adds a notice; says whom to wake. Events that find the mailbox full are replaced by one gap.
    pub(crate) fn push(&mut self, notice: Notice) -> Option<Waker> {
        let is_full = self.notices.len() >= self.notices_max;
        let notice = match notice {
            Notice::Event(event) if is_full => Notice::Gap { since: self.told, epoch: event.epoch },
            Notice::Event(event) => {
                self.told = event.zxid.unwrap_or(self.told);
                Notice::Event(event)
            }
            Notice::Gap { .. } | Notice::End(_) => notice,
        };
        match (self.notices.back_mut(), &notice) {
            // One gap says it all: since the first, in the session of the last.
            (Some(Notice::Gap { epoch: last, .. }), Notice::Gap { epoch, .. }) => *last = *epoch,
            _ => self.notices.push_back(notice),
        }
        self.waker.take()
    }

    /// The next notice, and a waker to drop once the lock is free.
    fn poll(&mut self, context: &Context<'_>) -> (Poll<Option<Notice>>, Option<Waker>) {
        match self.notices.pop_front() {
            Some(notice) => (Poll::Ready(Some(notice)), None),
            None => (Poll::Pending, self.waker.replace(context.waker().clone())),
        }
    }
}
