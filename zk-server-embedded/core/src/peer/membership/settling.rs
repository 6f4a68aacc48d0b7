//! The end of a term: what it leaves behind is settled before the next search.
// reliability.md rules 6, 10, 16; quorum-protocol.md 4.7

use alloc::vec::Vec;

use zk_proto::{Epoch, Now, SessionId, Zxid};

use super::{super::Peer, Term};
use crate::{
    member::MemberOutput,
    output::{CloseReason, Output},
    peer::{housekeeping::Removals, propose},
    prep::Pending,
    storage::{Recovered, epoch_file::EpochFile},
    tree::Tree,
    zab::{Proposal, leader, learner},
};

impl Peer {
    /// A term is over: nobody is served, and what is under way comes to its end.
    pub(super) fn end_term(&mut self, now: Now) {
        #[cfg(planted_bugs)]
        self.answer_lost_writes();
        let Some(member) = &mut self.member else { return };
        let was = core::mem::replace(&mut member.term, Term::Settling);
        member.is_established = false;
        member.give_up_sent();
        member.handed_on.clear();
        member.syncs.clear();
        member.asked_syncs.clear();
        member.checks.clear();
        member.log_reads.clear();
        member.left.clear();
        member.streams.clear();
        for save in &mut member.saves {
            save.2 = false;
        }
        if let Some(is_ours) = &mut member.truncating {
            *is_ours = false;
        }
        let links = core::mem::take(&mut member.open_links);
        let is_installing = member.is_installing;
        if let Term::Leading(_) = was {
            let listen = MemberOutput::Listen { is_open: false };
            self.outputs.push_back(Output::Member(listen));
            // What was proposed is in the log, and so is part of what we claim.
            let left = core::mem::take(&mut self.in_flight);
            self.in_flight_bytes = 0;
            let payloads = left.into_iter().filter_map(propose::Proposal::into_logged);
            member.tail.extend(payloads);
        }
        for link in links {
            self.end_link(link, leader::LinkClose::TermOver);
        }
        // A snapshot walks through this tree while the next leader may give us another one, and
        // would hold what is applied before the search and may never be decided. One that takes the
        // place of everything goes on, and is waited for: its end says which history we have.
        if !is_installing {
            self.abandon_snapshot();
        }
        self.timers.set_container_scan(None);
        self.timers.set_container_removal(None);
        self.removals = Removals::default();
        self.close_all(CloseReason::NotServing);
        self.give_up_throttled();
        self.held_back.clear();
        self.ending.clear();
        self.sessions.start_over(now.mono, false);
        self.pending = Pending::new(&self.tree, &self.config);
    }

    /// A planted bug: what was forwarded and not answered is answered as done.
    #[cfg(planted_bugs)]
    fn answer_lost_writes(&mut self) {
        use crate::{peer::connection::Stage, planted, reply};
        let Some(member) = &mut self.member else { return };
        if !planted::is(planted::Bug::LostWriteAnsweredOk) {
            return;
        }
        let zxid = self.tree.last_zxid();
        for (conn, xid) in member.forwarded.iter().map(super::learning::Sent::asked) {
            if let Some(connection) = self.connections.get_mut(&conn)
                && connection.stage == Stage::Open
                && connection.line.len() == 1
            {
                reply::bare(&mut connection.out, xid, zxid, zk_proto::ErrorCode::Ok);
                self.outputs.push_back(Output::Send { conn });
            }
        }
    }

    /// Looks for a leader once everything a term left behind is settled.
    pub(super) fn settle(&mut self, now: Now) {
        let Some(member) = &mut self.member else { return };
        let is_settled = matches!(member.term, Term::Settling)
            && member.saves.is_empty()
            && member.truncating.is_none()
            && !member.is_installing
            && member.synced >= member.logged;
        if !is_settled {
            return;
        }
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::UninstalledStateKept) {
            member.is_replaced = false;
        }
        if member.is_replaced || member.has_diverged() {
            // A leader's tree that never became ours, or one that is not what the log makes.
            // reliability.md rule 10, G13
            return self.read_again();
        }
        if member.is_resyncing() {
            // It would only be laid over what is not right.
            member.tail.clear();
        }
        self.apply_tail(now);
        if self.is_fenced {
            return;
        }
        self.look(now);
        self.run_member(now);
    }

    /// Applies what is in the log and was never decided for us: what we claim to have, we have.
    // quorum-protocol.md 4.7
    pub(super) fn apply_tail(&mut self, now: Now) {
        while let Some(proposal) = self.member.as_mut().and_then(|member| member.tail.pop_front()) {
            self.apply_logged(now, proposal);
        }
        self.last_proposed = self.tree.last_zxid();
        self.pending = Pending::new(&self.tree, &self.config);
    }

    /// Goes back to what is on disk; that is nothing where it is damaged.
    pub(super) fn read_again(&mut self) {
        if let Some(member) = &mut self.member {
            member.truncating = Some(false);
        }
        let last = Zxid::new(i64::MAX);
        self.end_batch();
        self.outputs.push_back(Output::Member(MemberOutput::Truncate { last }));
    }

    /// The tree and the sessions are these from here on.
    pub(super) fn take_state(
        &mut self,
        now: Now,
        tree: Tree,
        sessions: Vec<(SessionId, i32)>,
        last: Zxid,
    ) {
        self.tree = tree;
        self.sessions.clear();
        for (session, timeout_ms) in sessions {
            self.sessions.restore(session, timeout_ms, now.mono);
        }
        self.last_proposed = self.tree.last_zxid();
        self.pending = Pending::new(&self.tree, &self.config);
        if let Some(member) = &mut self.member {
            member.log.reset(last);
            member.logged = last;
            member.synced = last;
            member.unsynced.clear();
            member.tail.clear();
            member.is_replaced = false;
        }
    }

    pub(super) fn truncated(&mut self, now: Now, recovered: Recovered) {
        let Recovered { tree, sessions, last_zxid, .. } = recovered;
        let Some(is_ours) = self.member.as_mut().and_then(|member| member.truncating.take()) else {
            return;
        };
        self.take_state(now, tree, sessions, last_zxid);
        self.reverted();
        if let Some(member) = &mut self.member
            && let Term::Learning(learner) = &mut member.term
            && is_ours
        {
            learner.handle(now.mono, learner::Input::Truncated { last: last_zxid });
        }
    }

    pub(super) fn cannot_truncate(&mut self, now: Now) {
        let Some(member) = &mut self.member else { return };
        let Some(is_ours) = member.truncating.take() else { return };
        // Everything has to come from the leader.
        member.is_doubtful = true;
        if let Term::Learning(learner) = &mut member.term
            && is_ours
        {
            learner.handle(now.mono, learner::Input::CannotTruncate);
        }
    }

    pub(super) fn epoch_saved(&mut self, now: Now, file: EpochFile) {
        let Some(member) = &mut self.member else { return };
        let Some((asked, epoch, is_ours)) = member.saves.pop_front() else { return };
        assert_eq!(asked, file, "storage answers in order");
        match file {
            EpochFile::Accepted => member.epochs.accepted = epoch,
            EpochFile::Current => member.epochs.current = epoch,
        }
        if !is_ours {
            return;
        }
        match &mut member.term {
            Term::Leading(leader) => {
                leader.handle(now.mono, leader::Input::EpochSaved(file), &member.log);
            }
            Term::Learning(learner) => {
                learner.handle(now.mono, learner::Input::EpochSaved(file));
            }
            Term::Looking | Term::Settling => {}
        }
    }

    pub(super) fn save_epoch(&mut self, file: EpochFile, epoch: Epoch) {
        if let Some(member) = &mut self.member {
            member.saves.push_back((file, epoch, true));
        }
        self.end_batch();
        self.outputs.push_back(Output::Member(MemberOutput::SaveEpoch { file, epoch }));
    }

    /// One more transaction was applied.
    pub(in crate::peer) fn remember(&mut self, proposal: Proposal) {
        if let Some(member) = &mut self.member {
            member.log.push(proposal);
        }
    }

    /// Our log is on stable storage up to here.
    pub(in crate::peer) fn member_synced(&mut self, now: Now, zxid: Zxid) {
        let Some(member) = &mut self.member else { return };
        member.synced = member.synced.max(zxid);
        let has_room = member.unsynced.synced(zxid);
        match &mut member.term {
            Term::Leading(leader) => {
                leader.handle(now.mono, leader::Input::Synced { zxid }, &member.log);
            }
            Term::Learning(learner) => learner.handle(now.mono, learner::Input::Synced { zxid }),
            Term::Looking | Term::Settling => {}
        }
        if has_room {
            self.release_throttled(now);
            self.resume_paused();
        }
    }
}
