//! One member after the other is restarted.

use zk_tests::patience::at_most;

use crate::{load::Load, three};

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing() {
    let mut ensemble = three().await;
    let load = Load::start(&ensemble).await;
    for id in ensemble.ids() {
        load.until_more(50).await;
        ensemble.restart(id).await.expect("it starts");
        at_most("everybody serves", ensemble.ready()).await;
    }
    load.until_more(50).await;
    let outcome = load.stop().await;
    let agreed = at_most("agreement", ensemble.agreement()).await.expect("they run");
    outcome.check(&agreed);
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_kills_under_load_lose_nothing() {
    let mut ensemble = three().await;
    let load = Load::start(&ensemble).await;
    for round in 0..6 {
        let ids = ensemble.ids();
        let id = ids[round % ids.len()];
        load.until_more(50).await;
        ensemble.kill(id).await;
        load.until_more(50).await;
        ensemble.restart(id).await.expect("it starts");
        at_most("everybody serves", ensemble.ready()).await;
    }
    let outcome = load.stop().await;
    let agreed = at_most("agreement", ensemble.agreement()).await.expect("they run");
    outcome.check(&agreed);
}
