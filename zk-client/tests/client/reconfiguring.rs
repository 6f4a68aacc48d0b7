//! Changing the members of an ensemble.

use zk_client::{ErrorCode, OperationError as _, Outcome, ReconfigError, Stat, Zxid};
use zk_proto::{
    client::{DataResponse, OpCode, ReconfigRequest},
    jute::{Decode, Reader},
};

use crate::fake::connected;

#[tokio::test(start_paused = true)]
async fn a_change_of_members_is_asked_for_and_the_new_ones_are_read() {
    let (_server, mut peer, zk) = connected().await;
    let version = Zxid::new(0x100);
    let change =
        zk.reconfig().joining("server.4=zk4:2888:3888;2181").leaving("1").if_version(version);
    let change = change.send();
    let asked = peer.next().await;
    assert_eq!(asked.op, OpCode::Reconfig);
    let request = ReconfigRequest::decode(&mut Reader::new(&asked.body)).unwrap();
    assert_eq!(request.joining.text(), Some("server.4=zk4:2888:3888;2181"));
    assert_eq!(request.leaving.text(), Some("1"));
    assert_eq!((request.members.text(), request.config_version), (None, version));
    let members = b"server.4=zk4:2888:3888:participant;2181\nversion=200000000";
    let answer = DataResponse { data: Some(members), stat: Stat::default() };
    peer.reply_with(asked.xid, &answer).await;
    assert_eq!(&change.await.unwrap().data[..], members);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_members_is_refused_for_its_own_reasons() {
    let (_server, mut peer, zk) = connected().await;
    for (code, is_expected) in [
        (-13, (|e| matches!(e, ReconfigError::NewConfigNoQuorum { .. })) as fn(&_) -> bool),
        (-14, |e| matches!(e, ReconfigError::ReconfigInProgress { .. })),
        (-103, |e| matches!(e, ReconfigError::BadVersion { .. })),
        (-123, |e| matches!(e, ReconfigError::ReconfigDisabled { .. })),
    ] {
        let change = zk.reconfig().members("server.1=zk1:2888:3888;2181").send();
        let asked = peer.next().await;
        peer.reply(asked.xid, code, &[]).await;
        let refused = change.await.unwrap_err();
        assert!(is_expected(&refused), "{refused}");
        assert_eq!(refused.outcome(), Outcome::Rejected);
        assert_eq!(refused.code().map(ErrorCode::get), Some(code));
    }
}
