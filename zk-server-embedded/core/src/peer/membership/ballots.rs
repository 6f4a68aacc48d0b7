//! Election and its links: what they say to each other and to the rest of the member.

use alloc::{collections::BTreeMap, vec::Vec};

use zk_proto::{
    Now, ServerId,
    ballot::{Hello, HelloForm, Notification},
    ensemble::{EnsembleConfig, HostPort, Member, MemberAddress},
    jute::{Decode, Reader},
};

use super::{super::Peer, Term};
use crate::{
    election::{self, LinkInput, LinkOutput},
    member::{MemberConfig, MemberOutput},
    output::Output,
    quorum::Electorate,
    zab::leader,
};

impl Peer {
    pub(super) fn grant_election(&mut self, now: Now, output: election::Output) {
        let Some(member) = &mut self.member else { return };
        match output {
            election::Output::Send { to, bytes } => {
                member.links.handle(now.mono, LinkInput::Send { to, bytes });
            }
            election::Output::Decided(decision) => self.begin_term(now, &decision),
            election::Output::Adopted(config) => {
                let members = others(member.me, &config);
                member.electorate = Electorate::new(config, None);
                member.links.handle(now.mono, LinkInput::Members(members));
            }
            election::Output::Spared => self.spared(now),
            election::Output::Deserted => {
                if let Term::Leading(leader) = &mut member.term {
                    leader.handle(now.mono, leader::Input::Deserted, &member.log);
                }
            }
            election::Output::PeerLooks { peer, has_left } => {
                if let Term::Leading(leader) = &mut member.term {
                    let input = leader::Input::PeerLooks { server: peer, has_left };
                    leader.handle(now.mono, input, &member.log);
                }
            }
        }
    }

    pub(super) fn grant_links(&mut self, now: Now, output: LinkOutput) {
        let Some(member) = &mut self.member else { return };
        match output {
            LinkOutput::Deliver { from, bytes } => {
                // Links deliver only what can be read.
                if let Ok(notification) = Notification::decode(&mut Reader::new(&bytes)) {
                    let input = election::Input::Ballot { from, notification };
                    member.election.handle(now.mono, input);
                }
            }
            LinkOutput::Reach { peer, reach } => {
                member.election.handle(now.mono, election::Input::Reach { peer, reach });
            }
            output @ (LinkOutput::Dial { .. }
            | LinkOutput::Write { .. }
            | LinkOutput::Close { .. }) => {
                self.outputs.push_back(Output::Member(MemberOutput::Ballots(output)));
            }
        }
    }
}

/// What we say first on the election port.
pub(super) fn hello(me: ServerId, config: &MemberConfig) -> Hello {
    let ours = config.ensemble.members().get(&me);
    let mut addresses = ours.into_iter().flat_map(Member::addresses).map(MemberAddress::election);
    if config.has_address_lists {
        let addresses = addresses.collect();
        return Hello { server: me, form: HelloForm::AddressList, addresses };
    }
    let addresses = addresses.next().into_iter().collect();
    Hello { server: me, form: HelloForm::Address, addresses }
}

/// The election addresses of everybody else.
pub(super) fn others(me: ServerId, config: &EnsembleConfig) -> BTreeMap<ServerId, Vec<HostPort>> {
    let members = config.members().iter().filter(|(id, _)| **id != me);
    members
        .map(|(&id, member)| {
            let addresses = member.addresses().iter();
            (id, addresses.map(MemberAddress::election).collect())
        })
        .collect()
}
