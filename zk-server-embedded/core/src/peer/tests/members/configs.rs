//! Members that were started with other configurations than the leader goes by.

use zk_proto::{
    quorum::FromLeader,
    txn::{DataTxn, Txn, TxnHeader, TxnRecord},
};

use super::*;

/// These voters and the observer, if there is any, as of this version.
fn ensemble(voters: &[usize], observer: Option<usize>, version: i64) -> EnsembleConfig {
    let line = |id: &usize, role| format!("server.{id}=h{id}:1:2:{role}\n");
    let mut text: String = voters.iter().map(|id| line(id, "participant")).collect();
    text.extend(observer.map(|id| line(&id, "observer")));
    let members = EnsembleConfig::parse(&text).expect("legal");
    members.with_version(Zxid::new(version))
}

/// The first member goes by the first configuration, all others by the second.
fn members(first: EnsembleConfig, others: &EnsembleConfig) -> Members {
    let count = others.members().len();
    let ensembles: Vec<EnsembleConfig> =
        core::iter::once(first).chain((1..count).map(|_| others.clone())).collect();
    Members::configured(&ensembles, &PeerConfig::default(), LocalSessions::Off)
}

impl Members {
    /// The leader proposes a reconfiguration to a member.
    fn propose_config(&mut self, node: usize, text: &str) {
        let leader = self.leader();
        let zxid = self.nodes[leader].peer.tree().last_zxid().next().expect("there is another");
        let txn = Txn::Reconfig(DataTxn {
            path: "/zookeeper/config".into(),
            data: Some(text.as_bytes().into()),
            version: Version::ANY,
        });
        let (session, xid, time) = (SessionId::new(1), Xid::new(1), self.now.wall);
        let header = TxnHeader { session, xid, zxid, time, kind: txn.kind() };
        let payload = jute::encode(&TxnRecord { header, txn, digest: None });
        let far = self.ends[&self.link_of(node, leader)].far;
        let bytes = jute::encode(&FromLeader::Proposal(zxid, &payload));
        let said = MemberInput::LinkBytes { link: far, bytes: &bytes };
        self.feed(node, Input::Member(said));
    }
}

#[test]
fn a_member_follows_no_leader_whose_newer_configuration_has_other_voters() {
    let newer = ensemble(&[1, 2, 3, 4, 5], None, 0x100);
    let mut members = members(ensemble(&[1, 4, 5], None, 0), &newer);
    members.pass(5_000);
    let peer = &members.nodes[0].peer;
    assert!(peer.is_fenced() && !peer.is_serving());
    assert_eq!(peer.epochs().unwrap().current.get(), 0, "it never said that it has the history");
    let client = members.connect(members.leader());
    members.ask_create(client, 1, "/a", 0);
    assert_eq!(members.answers(client), [(1, OK)]);
    assert_eq!(members.have("/a"), [false, true, true, true, true]);
}

#[test]
fn a_newer_configuration_with_the_same_voters_is_no_other() {
    for observer in [None, Some(4)] {
        let newer = ensemble(&[1, 2, 3], observer, 0x100);
        let mut members = members(ensemble(&[1, 2, 3], None, 0), &newer);
        members.pass(5_000);
        assert!(members.nodes.iter().all(|node| node.peer.is_serving()));
    }
}

#[test]
fn a_reconfiguration_that_changes_the_voters_is_not_acknowledged() {
    let with_voters = |voters: &[usize]| format!("{}", ensemble(voters, None, 0x1_0000_0009));
    let (more, fewer) = (with_voters(&[1, 2, 3, 4, 5]), with_voters(&[1, 2]));
    for text in [&*more, &fewer, "no configuration", ""] {
        let mut members = Members::new(3, 0);
        let node = members.follower();
        members.expendable.insert(node);
        members.still.insert(node);
        let logged = members.nodes[node].peer.last_logged();
        members.propose_config(node, text);
        let peer = &members.nodes[node].peer;
        assert!(peer.is_fenced() && !peer.is_serving(), "{text}");
        assert_eq!(peer.last_logged(), logged);
        let is_append = |it: &Command| matches!(it, Command::Append { .. });
        assert!(!members.nodes[node].asked.iter().any(is_append), "{text}");
    }
    let mut members = Members::new(3, 0);
    let node = members.follower();
    members.still.insert(node);
    members.propose_config(node, &with_voters(&[1, 2, 3]));
    assert!(members.nodes[node].peer.is_serving());
    assert!(matches!(members.nodes[node].asked.back(), Some(Command::Append { .. })));
}
