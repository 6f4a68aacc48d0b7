//! What the client traces.

use std::{
    fmt::Debug,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::fake::connected;

/// Writes down what each span says, in one line per span, and whether it is over.
#[derive(Clone, Default)]
struct Ledger {
    lines: Arc<Mutex<Vec<String>>>,
    count: Arc<AtomicU64>,
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        use std::fmt::Write as _;
        write!(self.0, " {}={value:?}", field.name()).expect("a string takes everything");
    }
}

impl Ledger {
    fn change(&self, id: &Id, change: impl FnOnce(&mut String)) {
        let at = usize::try_from(id.into_u64() - 1).expect("a small number");
        change(&mut self.lines.lock().expect("no panic")[at]);
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").clone()
    }
}

impl Subscriber for Ledger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("zk_client")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = Id::from_u64(self.count.fetch_add(1, Ordering::Relaxed) + 1);
        self.lines.lock().expect("no panic").push(span.metadata().name().to_owned());
        self.change(&id, |line| span.record(&mut Line(line)));
        id
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        self.change(id, |line| values.record(&mut Line(line)));
    }

    fn try_close(&self, id: Id) -> bool {
        self.change(&id, |line| line.push('.'));
        true
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn each_operation_is_a_span_from_its_call_to_its_answer() {
    let ledger = Ledger::default();
    let _listening = tracing::subscriber::set_default(ledger.clone());
    let (mut server, mut peer, zk) = connected().await;
    let (get, set, dropped) = (zk.get("/a"), zk.set("/b", b"").send(), zk.get("/c"));
    assert_eq!(ledger.lines()[0], r#"zookeeper op="getData" path="/a""#);
    drop(dropped);
    let xid = peer.expect("getData /a").await;
    peer.reply(xid, -101, &[]).await;
    get.await.unwrap_err();
    peer.expect("setData /b").await;
    drop(peer);
    set.await.unwrap_err();
    let mut peer = server.accept().await;
    let get = zk.get("/a");
    let xid = peer.expect("getData /a").await;
    peer.zxid = 105;
    peer.reply_data(xid, b"").await;
    get.await.unwrap();
    let at = |connection: u32| format!("server=zk1:2181 connection={connection} session=1");
    let expected = [
        format!(r#"op="getData" path="/a" {} zxid=0x64 outcome="rejected"."#, at(1)),
        format!(r#"op="setData" path="/b" {} outcome="unknown"."#, at(1)),
        r#"op="getData" path="/c"."#.to_owned(),
        format!(r#"op="getData" path="/a" {} zxid=0x69 outcome="ok"."#, at(2)),
    ];
    assert_eq!(ledger.lines(), expected.map(|line| format!("zookeeper {line}")));
}
