//! Local sessions: what clients and operators see of them is the same on every member, of whatever
//! make, and under every leader.
//!
//! One story is told to each member in turn. What came of it, without names and moments, is
//! compared with what an ensemble of Apache's says.

use std::{fmt::Write as _, time::Duration};

use zk_proto::{
    ErrorCode, Zxid,
    client::{MultiOp, MultiResponse, MultiResult, OpCode},
};
use zk_tests::{
    patience::until,
    raw::{Raw, create_request},
};

use crate::cluster::{
    Cluster,
    Make::{self, Apache, Ours},
};

/// The setting without which there are no local sessions.
const LOCAL: &str = "localSessionsEnabled=true\n";

/// The one that lets them become global.
const UPGRADING: &str = "localSessionsUpgradingEnabled=true\n";

/// What a session that is left alone asks for, in milliseconds.
const SHORT_MILLIS: i32 = 2_000;

/// How long a session may take to run out, and to be forgotten.
const EXPIRY_LIMIT: Duration = Duration::from_secs(120);

const EPHEMERAL: i32 = 1;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn local_sessions_become_global_alike_on_all_makes() {
    let lines = format!("{LOCAL}{UPGRADING}");
    let judge = told("local-apache", &lines, &[Apache; 3], Apache).await;
    for (name, voters, observer) in [
        ("local-ours", [Ours; 3], Ours),
        ("local-apache-leads", [Ours, Apache, Apache], Ours),
        ("local-ours-leads", [Apache, Ours, Ours], Apache),
    ] {
        let ours = told(name, &lines, &voters, observer).await;
        compare(name, &ours, &judge);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn local_sessions_that_stay_local_are_refused_alike_on_all_makes() {
    let judge = told("confined-apache", LOCAL, &[Apache; 3], Apache).await;
    for (name, voters, observer) in [
        ("confined-ours", [Ours; 3], Ours),
        ("confined-apache-leads", [Ours, Apache, Apache], Ours),
        ("confined-ours-leads", [Apache, Ours, Ours], Apache),
    ] {
        let ours = told(name, LOCAL, &voters, observer).await;
        compare(name, &ours, &judge);
    }
}

/// The story as each member has it: a follower, another, the leader, an observer.
async fn told(name: &str, lines: &str, voters: &[Make], observer: Make) -> Vec<String> {
    let mut cluster = Cluster::new(name, voters, &[observer]);
    cluster.configure(lines);
    cluster.start_all().await;
    let mut told = Vec::new();
    for member in cluster.members() {
        told.push(Story::new(&cluster, member).await.tell().await);
    }
    told
}

/// What happens on one member.
struct Story<'a> {
    cluster: &'a Cluster,
    member: usize,
    /// Where the story begins.
    since: Zxid,
    text: String,
}

impl<'a> Story<'a> {
    async fn new(cluster: &'a Cluster, member: usize) -> Self {
        let mut story = Self { cluster, member, since: Zxid::ZERO, text: String::new() };
        // What came before is over on this member too.
        let mut raw = Raw::open(cluster.address(member)).await;
        assert_eq!(raw.at(OpCode::Sync, "/").await.code(), ErrorCode::Ok);
        raw.close().await;
        story.since = story.zxid().await;
        story
    }

    async fn tell(mut self) -> String {
        let address = self.cluster.address(self.member);
        let elsewhere = self.cluster.address(1 + self.member % self.cluster.members().count());
        let [plain, mine, listed, hers] =
            ["plain", "mine", "listed", "hers"].map(|name| format!("/{}-{name}", self.member));

        let mut raw = Raw::open(address).await;
        let session = raw.session.clone();
        self.note("opened", "").await;
        let seen = raw.see(OpCode::Exists, &plain, true).await.code();
        let made = raw.create(&plain, 0).await;
        let taken = self.after(made.header.zxid);
        self.note("wrote", &format!("{seen:?} {:?} {taken} {}", made.code(), made.events.len()))
            .await;
        let (_, granted) = Raw::resume(elsewhere, &session).await;
        self.note("elsewhere", &format!("{:?}", granted.map(|it| it.timeout_ms))).await;
        let (next, granted) = Raw::resume(address, &session).await;
        raw = next;
        let is_same = granted.is_some_and(|granted| granted.id == session.id);
        self.note("came back", &is_same.to_string()).await;

        let made = raw.create(&mine, EPHEMERAL).await;
        let taken = self.after(made.header.zxid);
        self.note("ephemeral", &format!("{:?} {taken}", made.code())).await;
        let ops = vec![
            MultiOp::Create(create_request(&listed, 0)),
            MultiOp::Create(create_request(&hers, EPHEMERAL)),
        ];
        let multi = raw.multi(ops).await;
        let parts = zk_proto::jute::decode::<MultiResponse<'_>>(&multi.body);
        let parts = parts.expect("results").results;
        let codes: Vec<i32> = parts.iter().map(code_of).collect();
        self.note("multi", &format!("{codes:?} {}", self.after(multi.header.zxid))).await;
        let (moved, granted) = Raw::resume(elsewhere, &session).await;
        let is_moved = granted.is_some_and(|granted| granted.id == session.id);
        self.note("moves", &is_moved.to_string()).await;
        if is_moved {
            drop(raw);
            raw = moved;
        }
        let closed = raw.exchange(OpCode::CloseSession.get(), &[]).await.expect("an answer");
        raw.expect_hangup().await;
        // The member whose story it is hears of it from the leader.
        let mut other = Raw::open(address).await;
        other.at(OpCode::Sync, "/").await;
        other.close().await;
        let taken = self.after(closed.header.zxid);
        self.note("closed", &format!("{:?} {taken}", closed.code())).await;

        let mut silent = Raw::open_with(address, SHORT_MILLIS).await;
        until("a silent session ends", EXPIRY_LIMIT, || {
            let has_ended = silent.has_ended();
            async move { has_ended.then_some(()) }
        })
        .await;
        self.note("expired", "").await;
        self.text
    }

    /// How many transactions behind the beginning.
    fn after(&self, zxid: Zxid) -> i64 {
        zxid.get() - self.since.get()
    }

    async fn zxid(&self) -> Zxid {
        let answer = self.cluster.word(self.member, "srvr").await;
        let zxid = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).expect("shown");
        Zxid::new(i64::from_str_radix(zxid, 16).expect("hexadecimal"))
    }

    /// One line about what was done, and what operators see behind it.
    async fn note(&mut self, what: &str, detail: &str) {
        let taken = self.after(self.zxid().await);
        let mntr = self.cluster.word(self.member, "mntr").await;
        let count = |name: &str| {
            let found = mntr.lines().find_map(|line| line.strip_prefix(name));
            found.unwrap_or("?").trim().to_owned()
        };
        let (local, global) = (count("zk_local_sessions"), count("zk_global_sessions"));
        let dump = self.cluster.word(self.member, "dump").await;
        let sessions = dump.split("Connections dump").next().unwrap_or_default();
        writeln!(self.text, "{what}: {detail}; {taken} taken, {local} local, {global} global")
            .expect("a string takes everything");
        let mut lines: Vec<String> = sessions.lines().filter_map(masked).collect();
        // What a session owns is in no order.
        for paths in lines.chunk_by_mut(|one, other| is_path(one) && is_path(other)) {
            paths.sort();
        }
        for line in lines {
            writeln!(self.text, "    {line}").expect("a string takes everything");
        }
    }
}

fn code_of(result: &MultiResult<'_>) -> i32 {
    if let MultiResult::Error(code) = result { *code } else { 0 }
}

/// Compares two tellings member by member, and shows where they part.
fn compare(name: &str, ours: &[String], judge: &[String]) {
    assert_eq!(ours.len(), judge.len());
    for (place, (ours, judge)) in ours.iter().zip(judge).enumerate() {
        let same = ours.lines().zip(judge.lines()).take_while(|(ours, judge)| ours == judge);
        let same = same.count();
        let from = |text: &str| text.lines().skip(same).collect::<Vec<_>>().join("\n");
        let (ours_from, judge_from) = (from(ours), from(judge));
        let member = place + 1;
        assert!(
            ours == judge,
            "{name}, member {member}:\n{ours_from}\n\nnot as Apache says:\n{judge_from}"
        );
    }
}

fn is_path(line: &str) -> bool {
    line.starts_with("\t/")
}

/// A line without the names of sessions and without moments; none for a moment at which no session
/// runs out any more, which Apache's members keep until it has passed.
fn masked(line: &str) -> Option<String> {
    if line.starts_with("0 expire at ") {
        return None;
    }
    if let Some((before, counts)) = line.split_once("Sets (") {
        let (_, sessions) = counts.split_once('/').expect("two counts");
        return Some(format!("{before}Sets {sessions}"));
    }
    if let Some((count, _)) = line.split_once(" expire at ") {
        return Some(format!("{count} expire at some moment:"));
    }
    let Some((before, name)) = line.split_once("0x") else { return Some(line.to_owned()) };
    let rest = name.trim_start_matches(|letter: char| letter.is_ascii_hexdigit());
    Some(format!("{before}<session>{rest}"))
}
