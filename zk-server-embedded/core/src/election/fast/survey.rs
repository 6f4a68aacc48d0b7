//! Whether a quorum is left without us: what a member wants to know before it leaves on its own
//! account.
//!
//! ```text
//!  Survey ─► a ballot for nobody, to every voter ─► whom they follow ─► a quorum: Spared
//! ```
//! Only one member leaves at a time. Of two that ask at the same time the one with the lower number
//! goes first, and who has left says that it follows only when it has everything again.
// reliability.md G13
//
// Invariant: there is a survey only while there is a leader.

use alloc::collections::BTreeMap;

use zk_proto::{ServerId, ballot::MemberState};

use super::{Election, Output, Phase, notification};
use crate::election::ballot::{Candidate, Vote};

impl Election {
    pub(super) fn begin_survey(&mut self) {
        let Phase::Settled(_) = self.phase else { return };
        self.survey = Some(BTreeMap::new());
        let question = Vote::looking(Candidate::SURVEY, self.clock);
        for to in self.electorate.voters().iter().filter(|id| **id != self.config.me) {
            let bytes = notification(&question, &self.text);
            self.outputs.push_back(Output::Send { to: *to, bytes });
        }
    }

    /// Somebody asks in order to leave: are we on our way out ourselves, or not back yet?
    pub(super) fn keeps_quiet(&mut self, from: ServerId, vote: &Vote) -> bool {
        let is_question = vote.state == MemberState::Looking && vote.candidate == Candidate::SURVEY;
        let has_leader = matches!(self.phase, Phase::Settled(_));
        if !is_question || !has_leader || !self.electorate.is_voter(from) {
            return false;
        }
        let is_before_us = from < self.config.me;
        if is_before_us {
            self.survey = None;
        }
        self.is_unproven || self.survey.is_some()
    }

    /// Somebody says whom it follows.
    pub(super) fn hear_survey(&mut self, from: ServerId, vote: Vote) {
        let (Phase::Settled(own), Some(survey)) = (&self.phase, &mut self.survey) else { return };
        let follows = matches!(vote.state, MemberState::Following | MemberState::Leading);
        if !follows || !vote.agrees_with(own) {
            return;
        }
        survey.insert(from, vote);
        let me = self.config.me;
        if self.electorate.is_met_by(|id| id != me && survey.contains_key(&id)) {
            self.survey = None;
            self.outputs.push_back(Output::Spared);
        }
    }
}
