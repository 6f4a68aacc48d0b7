//! Quorums of groups and weights.

use zk_server_embedded::ensemble::{Ensemble, Role, ServerId};
use zk_tests::patience::at_most;

use crate::client_of;

async fn grouped(voters: u8, lines: &str) -> Ensemble {
    let builder = Ensemble::builder().voters(voters).groups(lines);
    let ensemble = builder.start().await.expect("an ensemble");
    at_most("everybody serves", ensemble.ready()).await;
    ensemble
}

async fn kill(ensemble: &mut Ensemble, ids: &[i64]) {
    for &id in ids {
        ensemble.kill(ServerId::new(id)).await;
    }
}

/// A new client writes once there is a leader.
async fn write(ensemble: &Ensemble, path: &str) {
    at_most("a leader", ensemble.leader()).await;
    let zk = client_of(ensemble.connect_string()).await;
    at_most("a write", async { zk.create(path, b"").await }).await.expect("created");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_weighs_more_than_the_others_together_is_a_quorum() {
    let mut ensemble = grouped(3, "group.1=1:2:3\nweight.1=3\nweight.2=1\nweight.3=1").await;
    let heavy = ServerId::new(1);
    write(&ensemble, "/all").await;
    kill(&mut ensemble, &[2, 3]).await;
    assert_eq!(at_most("a leader", ensemble.leader()).await, heavy);
    write(&ensemble, "/alone").await;
    // Two of three are none.
    kill(&mut ensemble, &[1]).await;
    for id in [2, 3] {
        ensemble.restart(ServerId::new(id)).await.expect("it starts");
    }
    ensemble.advance(std::time::Duration::from_secs(5)).await.expect("they run");
    for id in [2, 3] {
        assert_eq!(ensemble.role(ServerId::new(id)), Role::Looking);
    }
    ensemble.restart(heavy).await.expect("it starts");
    at_most("everybody serves", ensemble.ready()).await;
    write(&ensemble, "/again").await;
    let agreed = at_most("agreement", ensemble.agreement()).await.expect("they run");
    for path in ["/all", "/alone", "/again"] {
        assert!(agreed.node(path).is_some(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_groups_of_three_decide_however_many_their_members_are() {
    let mut ensemble = grouped(5, "group.1=1\ngroup.2=2\ngroup.3=3:4:5").await;
    write(&ensemble, "/all").await;
    kill(&mut ensemble, &[3, 4, 5]).await;
    write(&ensemble, "/two-of-five").await;
    kill(&mut ensemble, &[2]).await;
    for id in [3, 4] {
        ensemble.restart(ServerId::new(id)).await.expect("it starts");
    }
    write(&ensemble, "/three-of-five").await;
    for id in [2, 5] {
        ensemble.restart(ServerId::new(id)).await.expect("it starts");
    }
    at_most("everybody serves", ensemble.ready()).await;
    let agreed = at_most("agreement", ensemble.agreement()).await.expect("they run");
    for path in ["/all", "/two-of-five", "/three-of-five"] {
        assert!(agreed.node(path).is_some(), "{path}");
    }
}
