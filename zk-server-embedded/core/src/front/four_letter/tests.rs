//! Answers as Apache `ZooKeeper` 3.9.5 gave them.

use alloc::{string::String, vec, vec::Vec};

use zk_proto::{ServerId, SessionId, WallMillis, Xid, Zxid, ensemble::EnsembleConfig};

use super::*;
use crate::{config::Share, member::MemberConfig, tree::QuotaTotal, zab::ProposalBytes};

const SESSION: SessionId = SessionId::new(0x100_001a_ff74_0000);

fn config() -> PeerConfig {
    let mut config = PeerConfig {
        tick_ms: 2_000,
        session_timeout_ms_min: 4_000,
        session_timeout_ms_max: 40_000,
        four_letter_words: FourLetterWords::All,
        ..PeerConfig::default()
    };
    config.shown.client_port = 2181;
    config.shown.secure_client_port = -1;
    config.shown.data_dir = "/var/lib/zk/version-2".into();
    config.shown.log_dir = "/var/lib/zk/version-2".into();
    config.shown.listen_backlog = -1;
    config
}

fn asking() -> ConnectionView {
    ConnectionView {
        remote: "127.0.0.1:37028".parse().expect("an address"),
        is_read: false,
        is_writing: false,
        queued: 0,
        received: 1,
        sent: 0,
        expires: WallMillis::new(1_795_259_645_000),
        session: None,
    }
}

fn client() -> ConnectionView {
    let latency = LatencyView { min_ms: 0, max_ms: 6, sum_ms: 15, count: 4 };
    ConnectionView {
        remote: "127.0.0.1:37008".parse().expect("an address"),
        is_read: true,
        received: 4,
        sent: 4,
        expires: WallMillis::new(1_795_259_665_000),
        session: Some(SessionPart {
            session: SESSION,
            last_operation: "GETC",
            established: WallMillis::new(1_795_259_634_707),
            timeout_ms: 30_000,
            last_xid: Xid::new(3),
            last_zxid: Zxid::new(2),
            last_response_ms: 1_788_963,
            last_latency_ms: 1,
            latency,
        }),
        ..asking()
    }
}

fn view(config: &PeerConfig) -> View<'_> {
    View {
        config,
        serving: Serving::Yes,
        mode: "standalone",
        uptime_ms: 20_557,
        latency: LatencyView { min_ms: 1, max_ms: 6, sum_ms: 15, count: 4 },
        packets_received: 26,
        packets_sent: 24,
        connections_alive: 2,
        requests_outstanding: 0,
        zxid: Zxid::new(2),
        node_count: 6,
        data_bytes: 48,
        ephemeral_count: 1,
        session_count: 1,
        local_session_count: 0,
        watch_count: 2,
        data_watches: 1,
        watched_paths: 1,
        watching_connections: 1,
        trace_mask: 306,
        drop_chance: Share::NONE,
        auth_failed_count: 0,
        response_bytes: [39, 89, 23],
        counters: vec![("bytes_received_count", 246)],
        summaries: Vec::new(),
        quotas: Vec::new(),
        quotas_exceeded: Vec::new(),
        connections: vec![asking(), client()],
        sessions: vec![SessionView {
            is_local: false,
            timeout_ms: 30_000,
            session: SESSION,
            expires: WallMillis::new(1_795_259_665_000),
            ephemerals: vec!["/e1".into()],
        }],
        watches: vec![("/e1".into(), vec![SESSION])],
        digests: vec![(Zxid::new(0x80), 264_325_334_118)],
        learners: None,
        observed: None,
        host: Host { data_dir_bytes: 67_109_358, log_dir_bytes: 67_109_358, ..Host::default() },
    }
}

fn answered(question: FourLetter) -> String {
    answer(question, &view(&config()))
}

#[test]
fn short_words_are_answered_without_a_newline() {
    assert_eq!(answered(FourLetter::Ruok), "imok");
    assert_eq!(answered(FourLetter::Isro), "rw");
    assert_eq!(answered(FourLetter::Gtmk), "306");
    assert_eq!(answered(FourLetter::Stmk(-5)), "-5");
}

#[test]
fn resets_are_confirmed() {
    assert_eq!(answered(FourLetter::Crst), "Connection stats reset.\n");
    assert_eq!(answered(FourLetter::Srst), "Server stats reset.\n");
}

#[test]
fn conf_lists_the_settings() {
    let expected = "clientPort=2181\nsecureClientPort=-1\ndataDir=/var/lib/zk/version-2\n\
        dataDirSize=67109358\ndataLogDir=/var/lib/zk/version-2\ndataLogSize=67109358\n\
        tickTime=2000\nmaxClientCnxns=60\nminSessionTimeout=4000\nmaxSessionTimeout=40000\n\
        clientPortListenBacklog=-1\nserverId=0\n";
    assert_eq!(answered(FourLetter::Conf), expected);
}

#[test]
fn cons_lists_connections_in_full() {
    let expected = " /127.0.0.1:37028[0](queued=0,recved=1,sent=0)\n \
        /127.0.0.1:37008[1](queued=0,recved=4,sent=4,sid=0x100001aff740000,lop=GETC,\
        est=1795259634707,to=30000,lcxid=0x3,lzxid=0x2,lresp=1788963,llat=1,minlat=0,avglat=3,\
        maxlat=6)\n\n";
    assert_eq!(answered(FourLetter::Cons), expected);
}

#[test]
fn dirs_lists_sizes() {
    let expected = "datadir_size: 67109358\nlogdir_size: 67109358\n";
    assert_eq!(answered(FourLetter::Dirs), expected);
}

#[test]
fn dump_lists_sessions_their_nodes_and_connections() {
    let expected = "SessionTracker dump:\nSession Sets (1)/(1):\n\
        1 expire at Sat Nov 21 11:14:25 UTC 2026:\n\t0x100001aff740000\n\
        ephemeral nodes dump:\nSessions with Ephemerals (1):\n0x100001aff740000:\n\t/e1\n\
        Connections dump:\nConnections Sets (2)/(2):\n\
        1 expire at Sat Nov 21 11:14:05 UTC 2026:\n\tip: /127.0.0.1:37028 sessionId: 0x0\n\
        1 expire at Sat Nov 21 11:14:25 UTC 2026:\n\
        \tip: /127.0.0.1:37008 sessionId: 0x100001aff740000\n";
    assert_eq!(answered(FourLetter::Dump), expected);
}

#[test]
fn dump_on_a_member_tells_local_sessions_from_others() {
    use crate::member::LocalSessions;
    let ensemble = EnsembleConfig::parse("server.1=h:1:2").expect("legal");
    let mut config = config();
    let mut dump = |local_sessions, learners, is_local| {
        let member = MemberConfig { local_sessions, ..MemberConfig::new(ensemble.clone()) };
        config.member = Some(member);
        let mut view = View { learners, ..view(&config) };
        let more = SessionView { is_local, ..view.sessions[0].clone() };
        view.sessions.push(SessionView { session: SessionId::new(0xa), ..more });
        let text = answer(FourLetter::Dump, &view);
        String::from(text.split("ephemeral").next().expect("a part"))
    };
    let leads = || Some(LearnersView::default());
    let set = "Session Sets (1)/(1):\n1 expire at Sat Nov 21 11:14:25 UTC 2026:\n\t";
    assert_eq!(
        dump(LocalSessions::Upgraded, leads(), true),
        format!("SessionTracker dump:\nLocal {set}0xa\nGlobal {set}0x100001aff740000\n")
    );
    assert_eq!(
        dump(LocalSessions::Confined, None, true),
        format!(
            "SessionTracker dump:\nLocal {set}0xa\nGlobal Sessions(1):\n\
             0x100001aff740000\t30000ms\n"
        )
    );
    assert_eq!(
        dump(LocalSessions::Off, None, false),
        "SessionTracker dump:\nGlobal Sessions(2):\n0x100001aff740000\t30000ms\n0xa\t30000ms\n"
    );
}

#[test]
fn srvr_and_stat_differ_by_the_clients() {
    let tail = "Latency min/avg/max: 1/3.75/6\nReceived: 26\nSent: 24\nConnections: 2\n\
        Outstanding: 0\nZxid: 0x2\nMode: standalone\nNode count: 6\n";
    let head = format!("Zookeeper version: {VERSION}\n");
    assert_eq!(answered(FourLetter::Srvr), format!("{head}{tail}"));
    let clients = "Clients:\n /127.0.0.1:37028[0](queued=0,recved=1,sent=0)\n \
        /127.0.0.1:37008[1](queued=0,recved=4,sent=4)\n\n";
    assert_eq!(answered(FourLetter::Stat), format!("{head}{clients}{tail}"));
}

#[test]
fn watches_are_counted_and_listed_both_ways() {
    let expected = "1 connections watching 1 paths\nTotal watches:1\n";
    assert_eq!(answered(FourLetter::Wchs), expected);
    assert_eq!(answered(FourLetter::Wchc), "0x100001aff740000\n\t/e1\n\n");
    assert_eq!(answered(FourLetter::Wchp), "/e1\n\t0x100001aff740000\n\n");
}

// reliability.md M54: reads may watch what is no path
#[test]
fn a_watched_name_cannot_forge_lines() {
    let config = config();
    let mut view = view(&config);
    view.watches = vec![("/a\n\t0x1\0\u{e9}\\".into(), vec![SESSION])];
    let listed = answer(FourLetter::Wchp, &view);
    assert_eq!(listed, "/a\\n\\t0x1\\0\u{e9}\\\n\t0x100001aff740000\n\n");
    let listed = answer(FourLetter::Wchc, &view);
    assert_eq!(listed, "0x100001aff740000\n\t/a\\n\\t0x1\\0\u{e9}\\\n\n");
}

#[test]
fn hash_lists_digests() {
    assert_eq!(answered(FourLetter::Hash), "80: 264325334118\n");
}

#[test]
fn envi_names_the_version_first() {
    let text = answered(FourLetter::Envi);
    assert!(text.starts_with("Environment:\nzookeeper.version=3.9.5-"));
    assert!(text.contains("\nos.name=<NA>\n") && text.ends_with("os.memory.total=0MB\n"));
    assert_eq!(text.lines().count(), 19);
}

#[test]
fn mntr_lists_every_name_once() {
    let text = answered(FourLetter::Mntr);
    let names: Vec<_> = text.lines().filter_map(|line| line.split('\t').next()).collect();
    let distinct: alloc::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len(), distinct.len());
    assert_eq!(names.len(), 494, "as many as Apache shows before any namespace was used");
    assert!(text.starts_with(&format!("zk_version\t{VERSION}\nzk_server_state\tstandalone\n")));
    for line in [
        "zk_avg_latency\t3.75",
        "zk_bytes_received_count\t246",
        "zk_avg_fsynctime\t0.0",
        "zk_p999_readlatency\t0",
        "zk_connection_drop_probability\t0.0",
    ] {
        assert!(text.lines().any(|each| each == line), "{line}");
    }
}

#[test]
fn mntr_lists_quotas_by_namespace() {
    let config = config();
    let mut view = view(&config);
    view.quotas = vec![
        QuotaTotal { namespace: "a".into(), limits: Some([5, -1]), usage: Some([2, 30]) },
        QuotaTotal { namespace: "b".into(), limits: None, usage: Some([1, 0]) },
    ];
    view.quotas_exceeded = vec![("a".into(), 3)];
    let text = answer(FourLetter::Mntr, &view);
    let lines: Vec<_> = text.lines().filter(|line| line.contains("_per_namespace")).collect();
    let expected = [
        "zk_a_quota_count_limit_per_namespace\t5",
        "zk_a_quota_bytes_limit_per_namespace\t-1",
        "zk_a_quota_count_usage_per_namespace\t2",
        "zk_b_quota_count_usage_per_namespace\t1",
        "zk_a_quota_bytes_usage_per_namespace\t30",
        "zk_b_quota_bytes_usage_per_namespace\t0",
        "zk_a_quota_exceeded_error_per_namespace\t3",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn m44_words_off_the_list_are_refused_by_name() {
    let config = PeerConfig::default();
    for &question in FourLetter::ALL {
        let text = answer(question, &view(&config));
        let refusal =
            format!("{} is not executed because it is not in the whitelist.\n", question.as_str());
        assert_eq!(text == refusal, question != FourLetter::Srvr, "{question:?}");
    }
}

#[test]
fn without_service_only_questions_about_the_process_are_answered() {
    let config = config();
    let view = View { serving: Serving::No, ..view(&config) };
    assert_eq!(answer(FourLetter::Ruok, &view), "imok");
    assert_eq!(answer(FourLetter::Isro, &view), "null");
    let text = "This ZooKeeper instance is not currently serving requests";
    assert_eq!(answer(FourLetter::Hash, &view), text);
    assert_eq!(answer(FourLetter::Srvr, &view), format!("{text}\n"));
}

#[test]
fn a_member_tells_of_its_ensemble() {
    let ensemble = EnsembleConfig::parse(
        "server.1=127.0.0.1:2888:3888:participant;127.0.0.1:2181\n\
         server.2=127.0.0.1:2889:3889:observer;127.0.0.1:2182\nversion=0",
    )
    .expect("an ensemble");
    let config =
        PeerConfig { id: ServerId::new(2), member: Some(MemberConfig::new(ensemble)), ..config() };
    let mut view = view(&config);
    let conf = answer(FourLetter::Conf, &view);
    let (_, of_member) = conf.split_once("serverId=").expect("a number");
    assert_eq!(
        of_member,
        "2\ninitLimit=10\nsyncLimit=5\nelectionAlg=3\nelectionPort=3889\nquorumPort=2889\n\
         peerType=1\nmembership: \n\
         server.1=127.0.0.1:2888:3888:participant;127.0.0.1:2181\n\
         server.2=127.0.0.1:2889:3889:observer;127.0.0.1:2182\nversion=0"
    );
    let mntr = answer(FourLetter::Mntr, &view);
    assert!(mntr.contains("zk_quorum_size\t1\n") && !mntr.contains("zk_learners"), "{mntr}");
    view.learners = Some(LearnersView { all: 4, synced_followers: 2, ..LearnersView::default() });
    let mntr = answer(FourLetter::Mntr, &view);
    assert!(mntr.contains("zk_learners\t4\nzk_synced_followers\t2\n"), "{mntr}");
    let none = "zk_last_proposal_size\t-1\nzk_min_proposal_size\t-1\nzk_max_proposal_size\t-1\n";
    assert!(mntr.contains(none), "{mntr}");
    let proposal_bytes =
        [40, 7, 12].into_iter().fold(None, |before, bytes| Some(ProposalBytes::and(before, bytes)));
    let (pending_syncs, uptime_ms) = (3, 10_838);
    view.learners =
        Some(LearnersView { pending_syncs, uptime_ms, proposal_bytes, ..LearnersView::default() });
    let mntr = answer(FourLetter::Mntr, &view);
    let some = "zk_pending_syncs\t3\nzk_leader_uptime\t10838\nzk_last_proposal_size\t12\n\
        zk_min_proposal_size\t7\nzk_max_proposal_size\t40\n";
    assert!(mntr.contains(some), "{mntr}");
    let last_line = "Proposal sizes last/min/max: 12/7/40\n";
    for word in [FourLetter::Srvr, FourLetter::Stat] {
        assert!(answer(word, &view).ends_with(last_line));
    }
    (view.learners, view.observed) = (None, Some(ServerId::new(3)));
    let mntr = answer(FourLetter::Mntr, &view);
    assert!(mntr.contains("zk_observer_master_id\t3\n") && !mntr.contains("zk_learners"));
}
