//! What learners lack is read from the log files for a few of them at a time.
//!
//! Storage reads whatever it was asked for, and a learner that has gone needs nothing any more. So
//! storage is asked late: learners wait here, where they can be forgotten.

use alloc::{collections::VecDeque, vec::Vec};

use zk_proto::{ConnId, Now, Zxid};

use super::{super::Peer, Term};
use crate::{
    limits::LOG_READS_MAX,
    member::MemberOutput,
    output::Output,
    zab::{Proposal, leader},
};

/// What a learner lacks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Wanted {
    pub(super) link: ConnId,
    pub(super) after: Zxid,
    pub(super) upto: Zxid,
}

/// Learners for whom the log files are to be read.
#[derive(Debug, Default)]
pub(super) struct LogReads {
    /// Those that wait, oldest first; each is on a link of its own.
    waiting: VecDeque<Wanted>,
    /// What storage was asked for and has not answered, whoever asked and in whichever term.
    // Invariant: never more than LOG_READS_MAX.
    under_way: usize,
}

impl LogReads {
    /// The next one to ask storage for, if it may be asked.
    fn next(&mut self) -> Option<Wanted> {
        if self.under_way >= LOG_READS_MAX {
            return None;
        }
        let wanted = self.waiting.pop_front()?;
        self.under_way += 1;
        Some(wanted)
    }

    /// A link is gone.
    pub(super) fn forget(&mut self, link: ConnId) {
        self.waiting.retain(|wanted| wanted.link != link);
    }

    /// The term is over. What storage was asked for it answers all the same.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

impl Peer {
    /// The log files are read for a learner as soon as its turn comes.
    pub(super) fn read_log(&mut self, wanted: Wanted) {
        if let Some(member) = &mut self.member {
            member.log_reads.waiting.push_back(wanted);
        }
        self.ask_for_log();
    }

    fn ask_for_log(&mut self) {
        let Some(member) = &mut self.member else { return };
        while let Some(Wanted { link, after, upto }) = member.log_reads.next() {
            let read = MemberOutput::ReadLog { link, after, upto };
            self.outputs.push_back(Output::Member(read));
        }
    }

    /// Storage has answered for a learner, who may have gone.
    pub(super) fn log_read(&mut self, now: Now, link: ConnId, proposals: Option<Vec<Proposal>>) {
        let Some(member) = &mut self.member else { return };
        assert!(member.log_reads.under_way > 0, "storage answers what it was asked");
        member.log_reads.under_way -= 1;
        if let Term::Leading(leader) = &mut member.term
            && member.open_links.contains(&link)
        {
            let input = leader::Input::LogRead { link, proposals };
            leader.handle(now.mono, input, &member.log);
        }
        self.ask_for_log();
    }
}
