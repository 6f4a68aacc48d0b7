//! What the client counts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

use crate::fake::connected;

/// Keeps every number under its name and labels.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<BTreeMap<String, f64>>>);

struct Line {
    ledger: Ledger,
    name: String,
}

impl Ledger {
    fn line(&self, key: &Key) -> Arc<Line> {
        let labels: Vec<_> = key.labels().map(|label| label.value().to_owned()).collect();
        let name = format!("{} {}", key.name(), labels.join(" ")).trim_end().to_owned();
        Arc::new(Line { ledger: self.clone(), name })
    }

    fn get(&self, name: &str) -> String {
        self.0.lock().expect("no panic").get(name).copied().unwrap_or(0.0).to_string()
    }
}

impl Line {
    fn change(&self, change: impl FnOnce(&mut f64)) {
        change(self.ledger.0.lock().expect("no panic").entry(self.name.clone()).or_default());
    }
}

impl CounterFn for Line {
    fn increment(&self, by: u64) {
        self.change(|value| *value += f64::from(u32::try_from(by).expect("a small number")));
    }

    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Line {
    fn increment(&self, by: f64) {
        self.change(|value| *value += by);
    }

    fn decrement(&self, by: f64) {
        self.change(|value| *value -= by);
    }

    fn set(&self, to: f64) {
        self.change(|value| *value = to);
    }
}

impl HistogramFn for Line {
    fn record(&self, _: f64) {
        self.change(|count| *count += 1.0);
    }
}

impl Recorder for Ledger {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.line(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.line(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.line(key))
    }
}

#[tokio::test(start_paused = true)]
async fn requests_connections_and_watchers_are_counted() {
    let ledger = Ledger::default();
    let _recording = metrics::set_default_local_recorder(&ledger);
    let (mut server, mut peer, zk) = connected().await;
    assert_eq!(ledger.get("zk_client_session_epoch"), "1");

    let (good, missing, lost) = (zk.get_and_watch("/a"), zk.get("/b"), zk.set("/c", b"").send());
    let dropped = zk.get("/d");
    assert_eq!(ledger.get("zk_client_requests_waiting"), "4");
    assert_eq!(ledger.get("zk_client_watchers"), "1");
    drop(dropped);
    assert_eq!(ledger.get("zk_client_requests_waiting"), "3");
    let xid = peer.expect("getData /a").await;
    peer.reply_data(xid, b"").await;
    peer.event(3, "/a", 101).await;
    let xid = peer.expect("getData /b").await;
    peer.reply(xid, -101, &[]).await;
    peer.expect("setData /c").await;
    drop(peer);
    let watched = good.await.unwrap();
    missing.await.unwrap_err();
    lost.await.unwrap_err();
    let _peer = server.accept().await;
    drop(watched);
    for (name, expected) in [
        ("zk_client_requests_total getData ok", 1),
        ("zk_client_requests_total getData rejected", 1),
        ("zk_client_requests_total setData unknown", 1),
        ("zk_client_request_seconds getData", 2),
        ("zk_client_requests_waiting", 0),
        ("zk_client_watchers", 0),
        ("zk_client_connections_total", 2),
        ("zk_client_sessions_total", 1),
        ("zk_client_watch_notices_total data_changed", 1),
        ("zk_client_watch_notices_total gap", 0),
        ("zk_client_disconnections_total broken", 1),
    ] {
        assert_eq!(ledger.get(name), expected.to_string(), "{name}");
    }
}
