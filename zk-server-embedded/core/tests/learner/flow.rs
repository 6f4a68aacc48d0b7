//! A learner whose disk is behind reads no more until it has caught up.

use zk_proto::quorum::FromLeader;
use zk_server_core::zab::learner::{Input, LearnerConfig};

use crate::rig::{Rig, at, config, proposal, start};
use crate::state::stream;

/// Room for three transactions.
fn narrow() -> LearnerConfig {
    let one = proposal(at(1, 1)).len();
    LearnerConfig { sync_bytes_max: 3 * one, ..config(false) }
}

impl Rig {
    fn decides(&mut self, counter: u32) -> Vec<String> {
        let mut lines = self.proposes(at(1, counter));
        lines.extend(self.hears(&FromLeader::Commit(at(1, counter))));
        lines
    }

    fn waits_for_its_leader(&self) -> bool {
        self.learner.next_timeout().is_some()
    }
}

#[test]
fn i40_a_history_is_read_as_fast_as_it_is_logged() {
    let mut rig = Rig::with(narrow(), start(1, 1, at(1, 0)));
    rig.dialled();
    rig.leader_info(1);
    rig.hears(&FromLeader::Diff(at(1, 9)));
    for counter in 1..=3 {
        assert_eq!(rig.decides(counter).len(), 2, "appended and applied");
    }
    assert_eq!(rig.decides(4), ["append 100000004", "apply 100000004", "pause"]);
    assert!(!rig.waits_for_its_leader(), "it cannot be heard");
    // What was read already is taken all the same.
    assert_eq!(rig.decides(5), ["append 100000005", "apply 100000005"]);
    assert!(!rig.waits_for_its_leader());
    assert_eq!(rig.synced(at(1, 3)), [""; 0]);
    assert_eq!(rig.synced(at(1, 4)), ["resume"]);
    assert!(rig.waits_for_its_leader());
    assert_eq!(rig.decides(6).len(), 2);
}

#[test]
fn i40_nobody_stops_reading_for_what_only_the_leader_can_decide() {
    let mut rig = Rig::with(narrow(), start(1, 1, at(1, 0)));
    rig.dialled();
    rig.leader_info(1);
    rig.hears(&FromLeader::Diff(at(1, 0)));
    for counter in 1..=9 {
        assert_eq!(rig.proposes(at(1, counter)), [""; 0]);
    }
    // The history is empty; what is undecided waits for UPTODATE behind it.
    assert_eq!(rig.new_leader(1), ["save current 1", "pause"]);
    assert_eq!(rig.adopted(), ["ACK 100000000", "resume"]);
    for counter in 10..=19 {
        assert_eq!(rig.proposes(at(1, counter)), [""; 0]);
    }
    rig.hears(&FromLeader::UpToDate);
    assert!(rig.learner.is_established());
}

#[test]
fn i40_while_a_history_is_cut_little_is_read() {
    let mut rig = Rig::with(narrow(), start(1, 1, at(1, 0x19)));
    rig.dialled();
    rig.leader_info(1);
    assert_eq!(rig.hears(&FromLeader::Trunc(at(1, 0))), ["truncate 100000000"]);
    let mut lines = Vec::new();
    for counter in 1..=9 {
        lines.extend(rig.proposes(at(1, counter)));
    }
    assert_eq!(lines, ["pause"]);
    assert_eq!(rig.told(Input::Truncated { last: at(1, 0) }), ["resume"]);
    assert_eq!(rig.new_leader(1), ["save current 1", "pause"], "nothing was lost");
    assert_eq!(rig.adopted(), ["ACK 100000000", "resume"]);
    assert_eq!(rig.learner.last_proposed(), at(1, 9));
}

#[test]
fn i40_while_a_state_is_installed_little_is_read() {
    let mut rig = Rig::with(narrow(), start(0, 0, at(0, 0)));
    rig.dialled();
    rig.leader_info(1);
    rig.accepted();
    rig.hears(&FromLeader::Snap(at(1, 4)));
    rig.bytes(&stream());
    assert_eq!(rig.new_leader(1), ["install"]);
    for counter in 5..=7 {
        assert_eq!(rig.decides(counter), [""; 0]);
    }
    assert_eq!(rig.decides(8), ["pause"]);
    assert_eq!(rig.told(Input::Installed), ["save current 1"], "the epoch is not saved");
    assert_eq!(rig.adopted(), ["ACK 100000000", "resume"]);
    let lines = rig.hears(&FromLeader::UpToDate);
    for counter in 5..=8 {
        assert!(lines.contains(&format!("append {:x}", at(1, counter))), "{lines:?}");
        assert!(lines.contains(&format!("apply {:x}", at(1, counter))), "{lines:?}");
    }
}

#[test]
fn f17_i40_who_is_sent_too_much_before_it_may_serve_comes_back_for_the_rest() {
    let one = proposal(at(1, 1)).len();
    let config = LearnerConfig { pending_bytes_max: 3 * one, ..config(false) };
    let mut rig = Rig::with(config, start(1, 1, at(1, 0)));
    rig.dialled();
    rig.leader_info(1);
    rig.hears(&FromLeader::Diff(at(1, 0)));
    assert_eq!(rig.new_leader(1), ["save current 1"]);
    assert_eq!(rig.adopted(), ["ACK 100000000"]);
    for counter in 1..=4 {
        assert_eq!(rig.proposes(at(1, counter)), [""; 0]);
    }
    // What it has is not asked for again, and nothing of it is acknowledged.
    let mut lines: Vec<_> = (1..=4).map(|it| format!("append {:x}", at(1, it))).collect();
    lines.extend(["close".into(), "lost Behind".into()]);
    assert_eq!(rig.proposes(at(1, 5)), lines);
}
