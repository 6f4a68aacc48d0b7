//! Files as people write them.

use zk_server_core::config::{
    ConnectThrottle, ConnectWeights, FourLetterWords, RequestThrottle, Secret, Share,
};

use super::*;

const MINIMAL: &str = "dataDir=/data\nclientPort=2181\n";

fn with(lines: &str) -> Result<ConfigFile, ConfigError> {
    ConfigFile::parse(&format!("{MINIMAL}{lines}"))
}

fn error_of(lines: &str) -> String {
    with(lines).expect_err("refused").to_string()
}

#[test]
fn two_lines_are_enough() {
    let file = with("").expect("complete");
    assert_eq!(file.listen, "[::]:2181".parse().expect("an address"));
    assert_eq!((file.data_dir, file.log_dir), ("/data".into(), "/data".into()));
    assert_eq!(file.peer.session_timeout_ms_min, 6_000);
    assert_eq!(file.peer.session_timeout_ms_max, 60_000);
    assert_eq!(file.warnings, [""; 0]);
}

#[test]
fn apaches_sample_file_is_understood_without_a_word() {
    let sample = "# The number of milliseconds of each tick\ntickTime=2000\ninitLimit=10\n\
        syncLimit=5\ndataDir=/tmp/zookeeper\nclientPort=2181\n#maxClientCnxns=60\n\
        autopurge.snapRetainCount=5\nautopurge.purgeInterval=1\nadmin.enableServer=false\n";
    let file = ConfigFile::parse(sample).expect("complete");
    assert_eq!(file.warnings, [""; 0]);
    assert_eq!(
        (file.peer.session_timeout_ms_min, file.peer.session_timeout_ms_max),
        (4_000, 40_000)
    );
    assert_eq!((file.files.snapshots_kept, file.files.purge_hours), (5, 1));
}

#[test]
fn every_key_is_accepted_with_and_without_its_prefix() {
    for prefix in ["", "zookeeper."] {
        let file = with(&format!("{prefix}snapCount=500\n{prefix}jute.maxbuffer=0x3fffff\n"));
        let peer = file.expect("complete").peer;
        assert_eq!((peer.snapshot_txns, peer.frame_bytes_max), (500, 0x3f_ffff));
    }
}

#[test]
fn what_is_missing_is_named() {
    let missing = |text| ConfigFile::parse(text).expect_err("incomplete").to_string();
    assert_eq!(missing("clientPort=1"), "settings: dataDir: expected a directory, found nothing");
    assert_eq!(missing("dataDir=/d"), "settings: clientPort: expected a port, found nothing");
}

#[test]
fn errors_name_line_and_expectation() {
    assert_eq!(
        error_of("tickTime=0"),
        "line 3: tickTime: expected a whole number of milliseconds above 0, found \"0\""
    );
    assert_eq!(
        error_of("\nskipACL=maybe"),
        "line 4: skipACL: expected true or false, found \"maybe\""
    );
    assert_eq!(
        error_of("clientPort=70000"),
        "line 3: clientPort: expected a port, found \"70000\""
    );
    assert!(error_of("minSessionTimeout=9\nmaxSessionTimeout=8").contains("found 9 ms"));
}

#[test]
fn unknown_keys_are_warned_about_and_ignored() {
    let file = with("maxClientConns=7\nnio.numWorkerThreads=3").expect("complete");
    assert_eq!(
        file.warnings,
        [
            "line 3: maxClientConns is not a key anybody knows",
            "line 4: nio.numWorkerThreads has no effect in this server",
        ]
    );
}

#[test]
fn what_protects_is_never_passed_over() {
    for line in [
        "secureClientPort=2281",
        "secureClientPortAddress=::1",
        "client.portUnification=true",
        "sessionRequireClientSASLAuth=true",
        "requireClientAuthScheme=sasl",
        "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        "authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider",
        "authProvider.own=com.example.IPAuthenticationProvider",
        "quorum.auth.enableSasl=true",
        "quorum.auth.learnerRequireSasl=true",
        "quorum.auth.serverRequireSasl=true",
        "sslQuorum=true",
        "ensembleAuthName=a",
        "enforce.auth.enabled=true",
        "enforce.auth.enabled=true\nenforce.auth.schemes=digest,sasl",
        "enforce.auth.enabled=true\nenforce.auth.schemes=digest\n\
         DigestAuthenticationProvider.enabled=false",
    ] {
        let key = line.rsplit('\n').next_back().and_then(|line| line.split('=').next());
        let error = error_of(line);
        let key = key.unwrap_or_default().replace("enabled", "schemes");
        assert!(error.contains(&format!("{key}: expected ")), "{line}: {error}");
    }
    let provider = "org.apache.zookeeper.server.auth.DigestAuthenticationProvider";
    for line in [
        "requireClientAuthScheme=none",
        "sslQuorum=false",
        "quorum.auth.enableSasl=false",
        "enforce.auth.schemes=sasl",
        &format!("authProvider.1={provider}"),
    ] {
        assert_eq!(with(line).expect("it asks for nothing").warnings, [""; 0], "{line}");
    }
    for line in ["ssl.keyStore.location=/k", "superUser=me", "audit.enable=true"] {
        assert_eq!(with(line).expect("harmless").warnings.len(), 1, "{line}");
    }
    for line in ["sessionRequireClientSASLAuth=false", "client.portUnification=False"] {
        assert_eq!(with(line).expect("it asks for nothing").warnings, [""; 0], "{line}");
    }
}

#[test]
fn m55_the_super_users_identity_is_not_shown() {
    let line = "DigestAuthenticationProvider.superDigest=super:lK75jTNcA+U9vtVEw5vB51mj/w4=";
    let file = with(line).expect("complete");
    let identity = file.peer.super_digest.as_ref().map(Secret::reveal);
    assert_eq!(identity, Some("super:lK75jTNcA+U9vtVEw5vB51mj/w4="));
    assert!(!format!("{file:?}").contains("lK75"), "{file:?}");
    let settings = ConfigFile::settings_of(&format!("{line}\nclientPort=7"));
    let shown = format!("{settings:?}");
    assert!(!shown.contains("lK75") && shown.contains('7'), "{shown}");
}

#[test]
fn m54_what_is_said_about_a_file_stays_on_its_line() {
    for line in ["no\\nkey\\u001b[2J=1", "4lw.commands.whitelist=a\\nb"] {
        let warnings = with(line).expect("complete").warnings;
        assert_eq!(warnings.len(), 1, "{line}");
        assert!(!warnings[0].chars().any(char::is_control), "{warnings:?}");
    }
    for line in ["tickTime=a\\nb", "server.1\\n=x"] {
        assert!(!error_of(line).chars().any(char::is_control));
    }
}

#[test]
fn membership_may_be_changed_where_the_file_says_so() {
    assert!(!with("").expect("complete").peer.reconfig_enabled);
    assert!(with("reconfigEnabled=true").expect("complete").peer.reconfig_enabled);
}

#[test]
fn words_and_lists_are_split_at_commas() {
    let words = |line| with(line).expect("complete").peer.four_letter_words;
    assert_eq!(words("4lw.commands.whitelist=*"), FourLetterWords::All);
    let only = FourLetterWords::Only(vec!["ruok".into(), "mntr".into()]);
    assert_eq!(words("4lw.commands.whitelist=ruok, mntr"), only);
    let file =
        with("enforce.auth.enabled=true\nenforce.auth.schemes=digest, ip").expect("complete");
    assert_eq!(file.peer.required_auth, ["digest", "ip"]);
    assert!(with("enforce.auth.enabled=true").is_err());
}

#[test]
fn requests_are_throttled_as_the_file_says() {
    assert_eq!(with("").expect("complete").peer.requests, RequestThrottle::default());
    let file = with(
        "request_throttle_max_requests=20\nrequest_throttle_stall_time=7\n\
         request_throttle_drop_stale=false\nrequest_stale_connection_check=false\n\
         request_stale_latency_check=true\nthrottled_op_wait_time=50\n\
         zookeeper.largeRequestThreshold=1024\nlargeRequestMaxBytes=4096\n\
         request_throttler.shutdownTimeout=5000\n",
    )
    .expect("complete");
    let expected = RequestThrottle {
        requests_max: 20,
        stall_ms: 7,
        drops_stale: false,
        checks_connection: false,
        checks_latency: true,
        wait_ms_max: 50,
        large_bytes: Some(1_024),
        large_bytes_max: 4_096,
    };
    assert_eq!((file.peer.requests, file.warnings), (expected, Vec::<String>::new()));
    let none = with("largeRequestThreshold=-1").expect("complete");
    assert_eq!(none.peer.requests.large_bytes, None);
    for line in
        ["largeRequestThreshold=0", "largeRequestMaxBytes=0", "request_throttle_max_requests=-1"]
    {
        assert!(with(line).is_err(), "{line}");
    }
}

#[test]
fn connections_are_throttled_as_the_file_says() {
    assert_eq!(with("").expect("complete").peer.connects, ConnectThrottle::default());
    let file = with(
        "connection_throttle_tokens=20\nconnection_throttle_fill_time=7\n\
         connection_throttle_fill_count=2\nconnection_throttle_freeze_time=30\n\
         connection_throttle_drop_increase=0.1\nconnection_throttle_drop_decrease=0.015\n\
         connection_throttle_decrease_ratio=1\nconnection_throttle_weight_enabled=true\n\
         connection_throttle_global_session_weight=8\n\
         connection_throttle_local_session_weight=5\n\
         connection_throttle_renew_session_weight=4\n",
    )
    .expect("complete");
    let expected = ConnectThrottle {
        tokens_max: 20,
        fill_ms: 7,
        fill_count: 2,
        freeze_ms: Some(30),
        drop_increase: Share::of_billion(100_000_000),
        drop_decrease: Share::of_billion(15_000_000),
        decrease_ratio: Share::ALL,
        weights: Some(ConnectWeights { new: 8, renewed: 5, local: 5 }),
    };
    assert_eq!((file.peer.connects, file.warnings), (expected, Vec::<String>::new()));
    let off = "connection_throttle_freeze_time=-1\nconnection_throttle_global_session_weight=9";
    assert_eq!(with(off).expect("complete").peer.connects, ConnectThrottle::default());
    for line in [
        "connection_throttle_drop_increase=1.5",
        "connection_throttle_drop_decrease=NaN",
        "connection_throttle_renew_session_weight=0",
    ] {
        assert!(with(line).is_err(), "{line}");
    }
}

#[test]
fn an_address_is_resolved() {
    let file = with("clientPortAddress=127.0.0.1").expect("complete");
    assert_eq!(file.listen, "127.0.0.1:2181".parse().expect("an address"));
}

#[test]
fn m54_an_error_stays_on_one_line_whatever_a_files_name_holds() {
    for lines in
        ["dynamicConfigFile=o\\t\\u0000", "dataDir=o\\n\\u0007\nserver.1=a:1:2\nserver.2=b:1:2"]
    {
        let error = with(lines).expect_err("no such file");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
}

#[test]
fn unsynced_writes_cannot_be_configured() {
    let file = with("forceSync=no").expect("complete");
    assert!(file.warnings[0].contains("not obeyed"));
}

#[test]
fn m54_an_error_stays_on_one_line_whatever_the_key_holds() {
    let error = with("server.1\\n\\u001b=a\nserver.2\\n\\u001b=b").expect_err("two members");
    assert!(!error.to_string().contains(char::is_control), "{error}");
}
