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
    Answer, Credentials, Failure, Input, Notice, Outcome, Request, Session, SessionEnd,
    SessionEpoch, SessionState, Token, Watch, WatchId, WatchKind,
};
use zk_proto::{
    Instant, Zxid,
    client::{OpCode, WatcherType},
    jute::Encode,
};

use crate::{runtime::Runtime, state::StateCell};

pub(crate) struct Shared {
    inner: Mutex<Inner>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) states: StateCell<SessionState>,
    pub(crate) trouble: Trouble,
    watch_buffer_max: usize,
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
    /// Set while the driver is parked.
    pub(crate) driver: Option<Waker>,
    /// Whether the driver was dropped before the session ended, as when its runtime shuts down.
    pub(crate) is_orphaned: bool,
    seq: u64,
    next_watch: u64,
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
        let inner = Inner {
            session,
            slots: Slots::default(),
            mailboxes: BTreeMap::new(),
            driver: None,
            is_orphaned: false,
            seq: 0,
            next_watch: 0,
        };
        let trouble = Trouble::default();
        Self { inner: Mutex::new(inner), runtime, states, trouble, watch_buffer_max }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the order of requests.
    pub(crate) fn submit(
        &self,
        op: OpCode,
        body: &dyn Encode,
        watch: Option<(WatchKind, &str)>,
        removes: Option<(Box<str>, WatcherType)>,
        deadline: Instant,
    ) -> Result<Submitted, Failure> {
        let now = self.runtime.now();
        let mut inner = self.lock();
        inner.refuse_if_over()?;
        let token = inner.take_slot();
        let watch = watch.map(|(kind, path)| {
            let id = WatchId(inner.next_watch);
            inner.next_watch += 1;
            let is_persistent = matches!(kind, WatchKind::Persistent | WatchKind::Recursive);
            let notices_max = if is_persistent { self.watch_buffer_max } else { 1 };
            inner.mailboxes.insert(id, Mailbox::new(notices_max));
            Watch { id, kind, path: path.into() }
        });
        let id = watch.as_ref().map(|watch| watch.id);
        let request = Request { token, op, body, watch, removes, deadline };
        inner.session.handle(now, Input::Request(request));
        Self::wake_driver(inner);
        Ok(Submitted { token, watch: id })
    }

    pub(crate) fn authenticate(
        &self,
        credentials: Credentials,
        deadline: Instant,
    ) -> Result<Submitted, Failure> {
        let now = self.runtime.now();
        let mut inner = self.lock();
        inner.refuse_if_over()?;
        let token = inner.take_slot();
        inner.session.handle(now, Input::Authenticate { credentials, token, deadline });
        Self::wake_driver(inner);
        Ok(Submitted { token, watch: None })
    }

    pub(crate) fn close(&self) -> Result<Submitted, Failure> {
        let now = self.runtime.now();
        let mut inner = self.lock();
        inner.refuse_if_over()?;
        let token = inner.take_slot();
        inner.session.handle(now, Input::Close(token));
        Self::wake_driver(inner);
        Ok(Submitted { token, watch: None })
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

    pub(crate) fn poll_answer(
        &self,
        token: Token,
        context: &Context<'_>,
    ) -> Poll<Result<Answer, Failure>> {
        let (poll, _replaced) = self.lock().slots.poll(token, context);
        poll
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn withdraw(&self, token: Token, watch: Option<WatchId>) {
        let now = self.runtime.now();
        let mut inner = self.lock();
        let _released = inner.slots.release(token);
        inner.session.handle(now, Input::Withdraw(token));
        let _mailbox = watch.and_then(|id| {
            inner.session.handle(now, Input::Unwatch(id));
            inner.mailboxes.remove(&id)
        });
        Self::wake_driver(inner);
    }

    /// The watcher is gone.
    pub(crate) fn unwatch(&self, id: WatchId) {
        let now = self.runtime.now();
        let mut inner = self.lock();
        let _mailbox = inner.mailboxes.remove(&id);
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

    pub(crate) fn epoch(&self) -> Option<SessionEpoch> {
        let inner = self.lock();
        if inner.is_orphaned { None } else { inner.session.state().epoch() }
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
        let end =
            if self.is_orphaned { Some(SessionEnd::Closed) } else { self.session.state().end() };
        match end {
            Some(end) => Err(Failure::SessionOver { end, outcome: Outcome::NotSent }),
            None => Ok(()),
        }
    }

    const fn next_token(&mut self) -> Token {
        self.seq += 1;
        Token { seq: self.seq, slot: NOBODY }
    }

    fn take_slot(&mut self) -> Token {
        let seq = self.next_token().seq;
        Token { seq, slot: self.slots.take(seq) }
    }
}

/// Where answers wait for their callers. A slot belongs to one request until it is released.
#[derive(Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    seq: u64,
    state: SlotState,
}

enum SlotState {
    Free,
    Waiting(Option<Waker>),
    Done(Result<Answer, Failure>),
}

impl Slots {
    fn take(&mut self, seq: u64) -> u32 {
        let state = SlotState::Waiting(None);
        if let Some(at) = self.free.pop() {
            self.slots[at as usize] = Slot { seq, state };
            return at;
        }
        let at = u32::try_from(self.slots.len()).expect("fewer than 2^32 requests are outstanding");
        self.slots.push(Slot { seq, state });
        at
    }

    /// Puts an answer into its slot; says whom to wake.
    pub(crate) fn answer(
        &mut self,
        token: Token,
        result: Result<Answer, Failure>,
    ) -> Option<Waker> {
        let slot = self.slots.get_mut(token.slot as usize)?;
        if slot.seq != token.seq {
            return None;
        }
        match std::mem::replace(&mut slot.state, SlotState::Done(result)) {
            SlotState::Waiting(waker) => waker,
            SlotState::Free => {
                slot.state = SlotState::Free;
                None
            }
            SlotState::Done(_) => None,
        }
    }

    /// Ends every request that is still waited for.
    pub(crate) fn answer_all(&mut self, failure: Failure) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for slot in &mut self.slots {
            if let SlotState::Waiting(waker) = &mut slot.state {
                wakers.extend(waker.take());
                slot.state = SlotState::Done(Err(failure));
            }
        }
        wakers
    }

    /// The answer, and a waker to drop once the lock is free.
    fn poll(
        &mut self,
        token: Token,
        context: &Context<'_>,
    ) -> (Poll<Result<Answer, Failure>>, Option<Waker>) {
        let slot = &mut self.slots[token.slot as usize];
        debug_assert_eq!(slot.seq, token.seq, "a slot belongs to one request until it is released");
        match &mut slot.state {
            SlotState::Waiting(Some(waker)) if waker.will_wake(context.waker()) => {
                (Poll::Pending, None)
            }
            SlotState::Waiting(waker) => (Poll::Pending, waker.replace(context.waker().clone())),
            SlotState::Free => (Poll::Pending, None),
            SlotState::Done(_) => match std::mem::replace(&mut slot.state, SlotState::Free) {
                SlotState::Done(result) => {
                    self.free.push(token.slot);
                    (Poll::Ready(result), None)
                }
                SlotState::Free | SlotState::Waiting(_) => (Poll::Pending, None),
            },
        }
    }

    /// Frees a slot; what was in it is to be dropped once the lock is free.
    fn release(&mut self, token: Token) -> SlotState {
        let slot = &mut self.slots[token.slot as usize];
        debug_assert_eq!(slot.seq, token.seq, "a slot belongs to one request until it is released");
        let released = std::mem::replace(&mut slot.state, SlotState::Free);
        if !matches!(released, SlotState::Free) {
            self.free.push(token.slot);
        }
        released
    }
}

/// Where events wait for their watcher.
pub(crate) struct Mailbox {
    notices: VecDeque<Notice>,
    notices_max: usize,
    waker: Option<Waker>,
    /// The newest transaction an event here told of.
    told: Zxid,
}

impl Mailbox {
    const fn new(notices_max: usize) -> Self {
        Self { notices: VecDeque::new(), notices_max, waker: None, told: Zxid::ZERO }
    }

    /// Adds a notice; says whom to wake. Events that find the mailbox full are replaced by one gap.
    pub(crate) fn push(&mut self, notice: Notice) -> Option<Waker> {
        let is_event = matches!(notice, Notice::Event(_));
        let ends_in_gap = matches!(self.notices.back(), Some(Notice::Gap { .. }));
        if is_event && self.notices.len() >= self.notices_max {
            if !ends_in_gap {
                self.notices.push_back(Notice::Gap { since: self.told });
            }
        } else if !(ends_in_gap && matches!(notice, Notice::Gap { .. })) {
            if let Notice::Event(event) = &notice {
                self.told = event.zxid.unwrap_or(self.told);
            }
            self.notices.push_back(notice);
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
