//! Fuzzes what leaders and learners say to each other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::same;
use zk_proto::{
    jute::encode,
    quorum::{
        Activation, EpochAnswer, ForwardedRequest, FromLeader, FromLearner, InformActivation,
        LeaderInfo, LearnerInfo, QuorumPacket, Revalidate, Revalidated, SessionTouches, WireId,
        split_packet,
    },
};

fuzz_target!(|data: &[u8]| {
    same!(
        data;
        QuorumPacket<'_>,
        WireId<'_>,
        LearnerInfo,
        LeaderInfo,
        EpochAnswer,
        ForwardedRequest<'_>,
        SessionTouches,
        Revalidate,
        Revalidated,
        Activation,
        InformActivation<'_>,
    );
    let mut rest = data;
    while let Ok(Some(split)) = split_packet(rest, 4_096) {
        assert!(split.length <= rest.len() && split.length > 0);
        rest = &rest[split.length..];
        if let Ok(meant) = FromLeader::read(&split.packet) {
            let bytes = encode(&meant);
            let again = split_packet(&bytes, 8_192).expect("legal").expect("whole");
            assert_eq!(FromLeader::read(&again.packet), Ok(meant));
        }
        if let Ok(meant) = FromLearner::read(&split.packet) {
            let bytes = encode(&meant);
            let again = split_packet(&bytes, 8_192).expect("legal").expect("whole");
            assert_eq!(FromLearner::read(&again.packet), Ok(meant));
        }
    }
});
