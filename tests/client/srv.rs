//! Servers by DNS SRV records, with a name server on loopback.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::UdpSocket, task::JoinHandle};
use zk_client::{Client, Dns, Retry, SrvLookup, SrvRecord};
use zk_server_embedded::ensemble::Ensemble;
use zk_tests::patience::at_most;

const NAME: &str = "_zookeeper._tcp.zk.test";
const TTL_SECS: u32 = 300;

/// Knows the records of one name.
struct NameServer {
    address: SocketAddr,
    records: Arc<Mutex<Vec<SrvRecord>>>,
    serving: JoinHandle<()>,
}

impl NameServer {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("bound");
        let records = Arc::new(Mutex::new(Vec::new()));
        let known: Arc<Mutex<Vec<SrvRecord>>> = Arc::clone(&records);
        let serving = tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((count, asker)) = socket.recv_from(&mut query).await {
                let records = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(answer) = answer(&query[..count], &records) {
                    // Whoever has gone asks again.
                    let _ = socket.send_to(&answer, asker).await;
                }
            }
        });
        Self { address, records, serving }
    }

    fn set(&self, records: Vec<SrvRecord>) {
        *self.records.lock().unwrap_or_else(PoisonError::into_inner) = records;
    }

    fn dns(&self) -> Dns {
        Dns::at([self.address])
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The answer to a question for SRV records; `None` for what is no question.
// RFC 1035, section 4: header, question, answers
fn answer(query: &[u8], records: &[SrvRecord]) -> Option<Vec<u8>> {
    const NO_ERROR: u8 = 0;
    const NO_SUCH_NAME: u8 = 3;
    let mut name = String::new();
    let mut at = 12;
    while let label_bytes @ 1.. = usize::from(*query.get(at)?) {
        let label = query.get(at + 1..=at + label_bytes)?;
        name.push_str(&String::from_utf8_lossy(label));
        name.push('.');
        at += 1 + label_bytes;
    }
    let question = query.get(12..at + 5)?;
    let is_known = name.trim_end_matches('.').eq_ignore_ascii_case(NAME);
    let (code, records) = if is_known { (NO_ERROR, records) } else { (NO_SUCH_NAME, &[][..]) };
    let count = u16::try_from(records.len()).ok()?;
    let mut answer = query.get(..2)?.to_vec();
    // An authoritative response, to a question that wanted recursion.
    answer.extend([0x85, 0x80 | code, 0, 1]);
    answer.extend(count.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(question);
    for record in records {
        let mut data = Vec::new();
        for number in [record.priority, record.weight, record.port] {
            data.extend(number.to_be_bytes());
        }
        for label in record.target.split('.').filter(|label| !label.is_empty()) {
            data.push(u8::try_from(label.len()).ok()?);
            data.extend(label.as_bytes());
        }
        data.push(0);
        // The name of the question, SRV, the internet.
        answer.extend([0xc0, 12, 0, 33, 0, 1]);
        answer.extend(TTL_SECS.to_be_bytes());
        answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}

#[tokio::test]
async fn records_are_read_as_they_are() {
    let names = NameServer::start().await;
    let records = vec![
        SrvRecord::new(10, 5, 2181, "zk1.zk.test."),
        SrvRecord::new(20, 0, 2182, "zk2.zk.test."),
    ];
    names.set(records.clone());
    let dns = names.dns();
    let answer = at_most("an answer", dns.look_up(NAME)).await.expect("records");
    assert_eq!(answer.records, records);
    assert_eq!(answer.valid, Duration::from_secs(TTL_SECS.into()));
    let absolute = format!("{NAME}.");
    at_most("an answer", dns.look_up(&absolute)).await.expect("the same records");
    let error = at_most("an answer", dns.look_up("nothing.zk.test")).await;
    error.expect_err("there is no such name");
    names.set(Vec::new());
    at_most("an answer", dns.look_up(NAME)).await.expect_err("there are no records");
}

#[tokio::test]
async fn servers_are_found_by_their_records_and_followed_when_these_change() {
    let mut ensemble = Ensemble::builder().start().await.expect("an ensemble");
    let leader = ensemble.leader().await;
    ensemble.ready().await;
    let followers: Vec<_> = ensemble.ids().into_iter().filter(|&id| id != leader).collect();
    let [first, second] = followers[..] else { panic!("two followers") };
    let record = |id| SrvRecord::new(0, 0, ensemble.member(id).local_addr().port(), "localhost.");
    let names = NameServer::start().await;
    names.set(vec![record(first)]);
    let next = vec![record(second)];

    let builder = Client::builder(format!("dns-srv://{NAME}")).srv_lookup(names.dns());
    let zk = at_most("a session", builder.connect()).await.expect("a session");
    zk.create("/mine", b"").ephemeral().await.expect("a free name");
    let epoch = zk.epoch();

    names.set(next);
    ensemble.kill(first).await;
    let retry = Retry::default();
    let found = retry.run_idempotent(&zk, || zk.get("/mine"));
    at_most("an answer", found).await.expect("the session goes on");
    assert_eq!(zk.epoch(), epoch, "with another server");
    zk.close().await.expect("an orderly end");
    ensemble.shutdown().await;
}
