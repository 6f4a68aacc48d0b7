//! Files of members.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use zk_server_core::member::LocalSessions;

use super::*;

/// A directory of one test's own, gone when dropped.
struct Dir(PathBuf);

impl Dir {
    fn new(myid: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("zk-members-{process}-{number}"));
        fs::create_dir_all(&path).expect("a directory");
        fs::write(path.join("myid"), myid).expect("writable");
        Self(path)
    }

    fn with(&self, lines: &str) -> Result<ConfigFile, ConfigError> {
        let data = self.0.display();
        ConfigFile::parse(&format!("dataDir={data}\ninitLimit=10\nsyncLimit=5\n{lines}"))
    }

    fn error_of(&self, lines: &str) -> String {
        let error = self.with(lines).expect_err("refused").to_string();
        error.replace(&self.0.display().to_string(), "DIR")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

const THREE: &str = "server.1=127.0.0.1:2888:3888\nserver.2=127.0.0.1:2889:3889\n\
    server.3=127.0.0.1:2890:3890:observer\nclientPort=2181\n";

#[test]
fn a_member_is_described_by_the_list_and_its_own_number() {
    let text = "standaloneEnabled=true\nserver.1=127.0.0.1:2888:3888\n\
        server.2=127.0.0.1:2889:3889;127.0.0.1:2182\nserver.3=127.0.0.1:2890:3890\n\
        leaderServes=no\ncnxTimeout=700\nelectionPortBindRetry=0\n";
    let file = Dir::new("2\n").with(text).expect("complete");
    assert_eq!((file.peer.id, file.warnings), (zk_proto::ServerId::new(2), Vec::<String>::new()));
    let member = file.peer.member.expect("a member");
    assert_eq!((member.init_ticks, member.sync_ticks, member.leader_serves), (10, 5, false));
    assert_eq!(member.ensemble.voters().count(), 3);
    assert_eq!(file.listen, "127.0.0.1:2182".parse().expect("an address"));
    let links = file.links.expect("links");
    assert_eq!(
        links.election.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["127.0.0.1:3889"]
    );
    assert_eq!(
        links.quorum.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["127.0.0.1:2889"]
    );
    assert_eq!((links.dial_timeout.as_millis(), links.bind_tries), (700, None));
}

#[test]
fn local_sessions_take_two_switches() {
    let dir = Dir::new("1");
    for (lines, expected) in [
        ("", LocalSessions::Off),
        ("localSessionsUpgradingEnabled=true\n", LocalSessions::Off),
        ("localSessionsEnabled=true\n", LocalSessions::Confined),
        (
            "localSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true\n",
            LocalSessions::Upgraded,
        ),
    ] {
        let file = dir.with(&format!("{lines}{THREE}")).expect("complete");
        let member = file.peer.member.expect("a member");
        assert_eq!(member.local_sessions, expected);
        assert!(!file.warnings.iter().any(|warning| warning.contains("local")), "{lines}");
    }
}

#[test]
fn all_addresses_may_be_listened_on() {
    let text = format!("quorumListenOnAllIPs=true\n{THREE}server.4=127.0.0.1:2891:3891\n");
    let links = Dir::new("1").with(&text).expect("complete").links.expect("links");
    assert_eq!(links.election[0].to_string(), "0.0.0.0:3888");
}

#[test]
fn one_voter_alone_is_standalone_unless_the_file_says_otherwise() {
    let dir = Dir::new("1");
    let one = dir.with("server.1=a:2888:3888\nclientPort=1").expect("complete");
    assert!(one.peer.member.is_none() && one.links.is_none());
    assert_eq!(one.warnings.len(), 1);
    let quorum_of_one = "standaloneEnabled=false\nserver.1=127.0.0.1:2888:3888\nclientPort=1";
    assert!(dir.with(quorum_of_one).expect("complete").peer.member.is_some());
    let observed = "server.1=a:2888:3888\nserver.2=b:2888:3888:observer\nclientPort=1";
    assert!(dir.error_of(observed).contains("observers need somebody"));
}

#[test]
fn f32_f33_a_number_that_is_missing_or_foreign_is_named() {
    let missing = Dir::new("1");
    fs::remove_file(missing.0.join("myid")).expect("there");
    let servers = "server.1=h:2888:3888\nserver.2=i:2888:3888\nclientPort=1";
    let error = missing.error_of(servers);
    assert!(error.starts_with("DIR/myid: myid: expected this server's number N"), "{error}");
    assert!(error.contains("No such file"), "{error}");
    assert_eq!(
        Dir::new("7").error_of(servers),
        "DIR/myid: myid: expected the number of a server in the list (1, 2), found 7"
    );
    assert_eq!(
        Dir::new("one\u{1b}").error_of(servers),
        "DIR/myid: myid: expected a number from 0 to 255, found \"one\\u{1b}\""
    );
    let extended = Dir::new("255").error_of(&format!("{servers}\nextendedTypesEnabled=true"));
    assert!(extended.contains("from 0 to 254"), "{extended}");
}

#[test]
fn f32_numbers_that_sessions_cannot_carry_are_named() {
    let dir = Dir::new("1");
    let twins = dir.error_of("server.1=h:1:2\nserver.257=h:3:4\nclientPort=9");
    assert_eq!(
        twins,
        "line 5: server.257: expected a number from 0 to 255: \
         sessions of 257 would have the same numbers as those of 1"
    );
    let large = dir.error_of("server.1=h:1:2\nserver.300=h:3:4\nclientPort=9");
    assert_eq!(large, "line 5: server.300: expected a number from 0 to 255");
    let negative = dir.error_of("server.1=h:1:2\nserver.-1=h:3:4\nclientPort=9");
    assert!(
        negative.starts_with("line 5: server.-1: expected a number from 0 to 255"),
        "{negative}"
    );
    let extended = "server.1=h:1:2\nserver.255=h:3:4\nclientPort=9\nextendedTypesEnabled=true";
    let extended = dir.error_of(extended);
    assert_eq!(extended, "line 5: server.255: expected a number from 0 to 254");
}

#[test]
fn f32_numbers_and_places_given_twice_are_named() {
    let dir = Dir::new("1");
    let twice = dir.error_of("server.1=h:2888:3888\nserver.1=i:2888:3888\nclientPort=1");
    assert_eq!(twice, "line 5: server.1: given twice");
    let shared = dir.error_of("server.1=h:1:2\nserver.2=h:3:2\nclientPort=9");
    assert!(shared.contains("server.2: expected a place of its own, found h:2 of server 1"));
    let same = dir.error_of("server.1=h:1:1\nserver.2=h:3:2\nclientPort=9");
    assert_eq!(same, "line 4: server.1: quorum port and election port are the same");
    let client = dir.error_of("server.1=h:1:2\nserver.2=h:3:4\nclientPort=2");
    assert!(client.contains("server.1: expected a client port that is no other"), "{client}");
    let differs = dir.error_of("server.1=h:1:2;7\nserver.2=h:3:4\nclientPort=8");
    assert!(differs.contains("to say the same, or nothing, found 0.0.0.0:7"), "{differs}");
}

#[test]
fn groups_roles_and_ticks_are_checked() {
    let dir = Dir::new("1");
    let grouped =
        format!("{THREE}server.4=127.0.0.1:2892:3892\ngroup.1=1:2\ngroup.2=4\nweight.1=2");
    let config = dir.with(&grouped).expect("complete").peer.member.expect("a member").ensemble;
    assert_eq!(config.weight(zk_proto::ServerId::new(1)), 2);
    assert!(dir.error_of(&format!("{THREE}group.1=1")).contains("server 2 votes but is in no"));
    let kinds = dir.with(&format!("{THREE}peerType=observer")).expect("complete");
    assert!(kinds.warnings.iter().any(|warning| warning.contains("peerType")), "{kinds:?}");
    let data = dir.0.display();
    let error = ConfigFile::parse(&format!("dataDir={data}\n{THREE}")).expect_err("no ticks");
    assert!(error.to_string().starts_with("settings: initLimit: expected ticks"), "{error}");
    assert!(dir.error_of(&format!("{THREE}electionAlg=0")).contains("3, the only election"));
    let several = dir.error_of("server.1=h:1:2|i:1:2\nserver.2=h:3:4\nclientPort=9");
    assert!(several.contains("multiAddress.enabled is not set"), "{several}");
}

#[test]
fn the_list_may_stand_in_a_file_of_its_own() {
    let dir = Dir::new("1");
    let list = dir.0.join("zoo.cfg.dynamic.100000000");
    fs::write(&list, "server.1=127.0.0.1:1:2;2181\nserver.2=127.0.0.1:3:4;2182\n").expect("room");
    let line = format!("dynamicConfigFile={}\n", list.display());
    let file = dir.with(&line).expect("complete");
    assert_eq!(file.listen, "[::]:2181".parse().expect("an address"));
    let version = file.peer.member.expect("a member").ensemble.version();
    assert_eq!(version.get(), 0x1_0000_0000);
    let both = dir.error_of(&format!("{line}server.1=h:1:2\nclientPort=9"));
    assert!(both.contains("expected all servers in the file"), "{both}");
    fs::write(&list, "server.1=h:1:2\ntickTime=7\n").expect("room");
    let error = dir.error_of(&line);
    assert!(error.contains(", line 2: tickTime: expected nothing but server.N"), "{error}");
    let nowhere = dir.error_of("dynamicConfigFile=/nowhere/at/all\n");
    assert!(nowhere.contains("cannot read /nowhere/at/all"), "{nowhere}");
}
