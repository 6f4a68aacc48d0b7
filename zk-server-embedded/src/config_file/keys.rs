//! Every key of Apache `ZooKeeper` 3.9, and what it means here.

use std::time::Duration;

use zk_server_core::{config::FourLetterWords, front::FourLetter};

use super::{ConfigError, Draft, members, values::Value};

/// What a key means.
pub(super) enum Meaning {
    /// It sets something.
    Used(fn(&mut Draft, Value<'_>) -> Result<(), ConfigError>),
    /// It describes a member of an ensemble.
    Member,
    /// It asks for something this server cannot do and must not seem to do.
    Refused(&'static str),
    /// It tunes something this server does not have, and somebody may wonder.
    WithoutEffect,
    /// It matters to ensembles only, or is already so.
    Silent,
    /// It is no key.
    Unknown,
}

/// What a key, without `zookeeper.`, means.
pub(super) fn meaning_of(key: &str) -> Meaning {
    if let Some((_, apply)) = USED.iter().find(|(used, _)| *used == key) {
        return Meaning::Used(*apply);
    }
    if let Some((_, problem)) = REFUSED.iter().find(|(refused, _)| *refused == key) {
        return Meaning::Refused(problem);
    }
    if key.starts_with("authProvider.") {
        return Meaning::Used(auth_provider);
    }
    if SILENT.contains(&key) {
        return Meaning::Silent;
    }
    if ["server.", "group.", "weight."].iter().any(|prefix| key.starts_with(prefix)) {
        return Meaning::Member;
    }
    let is_known = WITHOUT_EFFECT.contains(&key)
        || FAMILIES_WITHOUT_EFFECT.iter().any(|prefix| key.starts_with(prefix));
    if is_known { Meaning::WithoutEffect } else { Meaning::Unknown }
}

type Apply = fn(&mut Draft, Value<'_>) -> Result<(), ConfigError>;

const MILLIS: &str = "a whole number of milliseconds";
const MILLIS_ABOVE_ZERO: &str = "a whole number of milliseconds above 0";
const TICKS: &str = "a whole number of ticks";
const COUNT: &str = "a whole number";
const COUNT_ABOVE_ZERO: &str = "a whole number above 0";

macro_rules! used {
    ($($key:literal => |$draft:ident, $value:ident| $body:expr,)*) => {
        const USED: &[(&str, Apply)] = &[$(($key, |$draft, $value| { $body; Ok(()) }),)*];
    };
}

used! {
    "dataDir" => |draft, value| draft.data_dir = Some(directory(value)?),
    "dataLogDir" => |draft, value| draft.log_dir = Some(directory(value)?),
    "clientPort" => |draft, value| draft.port = Some(value.number("a port")?),
    "clientPortAddress" => |draft, value| {
        draft.host = Some((value.text().to_owned(), value.setting.clone()));
    },
    "clientPortListenBacklog" => |draft, value| {
        let backlog: i32 = value.number(COUNT)?;
        draft.backlog = u32::try_from(backlog).ok();
    },
    "tickTime" => |draft, value| draft.peer.tick_ms = value.at_least(1, MILLIS_ABOVE_ZERO)?,
    "minSessionTimeout" => |draft, value| draft.timeout_ms_min = timeout(value)?,
    "maxSessionTimeout" => |draft, value| draft.timeout_ms_max = timeout(value)?,
    "maxClientCnxns" => |draft, value| {
        draft.peer.connections_per_address_max = value.number(COUNT)?;
    },
    "maxCnxns" => |draft, value| draft.peer.connections_max = value.number(COUNT)?,
    "4lw.commands.whitelist" => |draft, value| words(draft, value),
    "globalOutstandingLimit" => |draft, value| {
        draft.peer.requests_outstanding_max = value.at_least(1, COUNT_ABOVE_ZERO)?;
    },
    "snapCount" => |draft, value| {
        draft.peer.snapshot_txns = value.number::<u64>(COUNT)?.max(2);
    },
    "snapSizeLimitInKb" => |draft, value| {
        let kilobytes: i64 = value.number("a whole number of kilobytes")?;
        let kilobytes = u64::try_from(kilobytes).unwrap_or(0);
        draft.peer.snapshot_log_bytes = kilobytes.saturating_mul(1024);
    },
    "preAllocSize" => |draft, value| {
        let kilobytes: u64 = value.number("a whole number of kilobytes")?;
        draft.files.preallocated_bytes = kilobytes.saturating_mul(1024);
    },
    "autopurge.snapRetainCount" => |draft, value| {
        draft.files.snapshots_kept = value.number::<usize>(COUNT)?.max(3);
    },
    "autopurge.purgeInterval" => |draft, value| {
        draft.files.purge_hours = value.number("a whole number of hours")?;
    },
    "snapshot.trust.empty" => |draft, value| {
        draft.files.trusts_empty_snapshots = value.switch()?;
    },
    "db.autocreate" => |draft, value| draft.files.creates_database = value.switch()?,
    "datadir.autocreate" => |draft, value| draft.files.creates_directories = value.switch()?,
    "reconfigEnabled" => |draft, value| draft.peer.reconfig_enabled = value.switch()?,
    "enforceQuota" => |draft, value| draft.peer.enforce_quota = value.switch()?,
    "extendedTypesEnabled" => |draft, value| draft.peer.extended_types = value.switch()?,
    "closeSessionTxn.enabled" => |draft, value| {
        draft.peer.close_session_lists_paths = value.switch()?;
    },
    "digest.enabled" => |draft, value| draft.peer.digest = value.switch()?,
    "skipACL" => |draft, value| draft.peer.skip_acl = value.switch()?,
    "DigestAuthenticationProvider.superDigest" => |draft, value| {
        draft.peer.super_digest = Some(value.text().into());
    },
    "DigestAuthenticationProvider.enabled" => |draft, value| {
        draft.peer.digest_auth = value.switch()?;
    },
    "DigestAuthenticationProvider.digestAlg" => |_draft, value| {
        let is_sha1 = ["SHA1", "SHA-1"].iter().any(|name| value.text().eq_ignore_ascii_case(name));
        if !is_sha1 {
            return Err(value.unexpected("SHA1, the only algorithm of this version"));
        }
    },
    "enforce.auth.enabled" => |draft, value| draft.enforces_auth = value.switch()?,
    "enforce.auth.schemes" => |draft, value| draft.auth_schemes = value.list(),
    "jute.maxbuffer" => |draft, value| {
        draft.peer.frame_bytes_max = usize::try_from(frame_bytes(value)?).unwrap_or(usize::MAX);
    },
    "znode.container.checkIntervalMs" => |draft, value| {
        draft.peer.container_check_ms = value.at_least(1, MILLIS_ABOVE_ZERO)?;
    },
    "znode.container.maxPerMinute" => |draft, value| {
        draft.peer.containers_per_minute_max = value.at_least(1, COUNT_ABOVE_ZERO)?;
    },
    "znode.container.maxNeverUsedIntervalMs" => |draft, value| {
        draft.peer.container_never_used_ms = value.number(MILLIS)?;
    },
    "connection_throttle_tokens" => |draft, value| {
        draft.peer.connects.tokens_max = value.number(COUNT)?;
    },
    "connection_throttle_fill_time" => |draft, value| {
        draft.peer.connects.fill_ms = value.at_least(1, MILLIS_ABOVE_ZERO)?;
    },
    "connection_throttle_fill_count" => |draft, value| {
        draft.peer.connects.fill_count = value.number(COUNT)?;
    },
    "connection_throttle_freeze_time" => |draft, value| {
        let millis: i32 = value.at_least(-1, "a whole number of milliseconds, or -1 for none")?;
        draft.peer.connects.freeze_ms = u64::try_from(millis).ok();
    },
    "connection_throttle_drop_increase" => |draft, value| {
        draft.peer.connects.drop_increase = value.share()?;
    },
    "connection_throttle_drop_decrease" => |draft, value| {
        draft.peer.connects.drop_decrease = value.share()?;
    },
    "connection_throttle_decrease_ratio" => |draft, value| {
        draft.peer.connects.decrease_ratio = value.share()?;
    },
    "connection_throttle_weight_enabled" => |draft, value| draft.weighs = value.switch()?,
    "connection_throttle_global_session_weight" => |draft, value| {
        draft.weights.new = value.at_least(1, COUNT_ABOVE_ZERO)?;
    },
    "connection_throttle_local_session_weight" => |draft, value| {
        draft.weights.local = value.at_least(1, COUNT_ABOVE_ZERO)?;
    },
    "connection_throttle_renew_session_weight" => |draft, value| {
        draft.weights.renewed = value.at_least(1, COUNT_ABOVE_ZERO)?;
    },
    "request_throttle_max_requests" => |draft, value| {
        draft.peer.requests.requests_max = value.number(COUNT)?;
    },
    "request_throttle_stall_time" => |draft, value| {
        draft.peer.requests.stall_ms = value.at_least(1, MILLIS_ABOVE_ZERO)?;
    },
    "request_throttle_drop_stale" => |draft, value| {
        draft.peer.requests.drops_stale = value.switch()?;
    },
    "request_stale_connection_check" => |draft, value| {
        draft.peer.requests.checks_connection = value.switch()?;
    },
    "request_stale_latency_check" => |draft, value| {
        draft.peer.requests.checks_latency = value.switch()?;
    },
    "throttled_op_wait_time" => |draft, value| {
        draft.peer.requests.wait_ms_max = value.number(MILLIS)?;
    },
    "largeRequestThreshold" => |draft, value| {
        const EXPECTED: &str = "a whole number of bytes above 0, or -1 for none";
        let bytes: i32 = value.at_least(-1, EXPECTED)?;
        draft.peer.requests.large_bytes = match usize::try_from(bytes) {
            Ok(0) => return Err(value.unexpected(EXPECTED)),
            Ok(bytes) => Some(bytes),
            Err(_) => None,
        };
    },
    "largeRequestMaxBytes" => |draft, value| {
        draft.peer.requests.large_bytes_max =
            value.at_least(1, "a whole number of bytes above 0")?;
    },
    "dynamicConfigFile" => |draft, value| {
        draft.member.dynamic_file = Some((directory(value)?, value.setting.clone()));
    },
    "initLimit" => |draft, value| {
        draft.member.init_ticks = Some(value.number(TICKS)?);
    },
    "syncLimit" => |draft, value| {
        draft.member.sync_ticks = Some(value.number(TICKS)?);
    },
    "leaderServes" => |draft, value| draft.member.leader_serves = value.switch()?,
    "standaloneEnabled" => |draft, value| {
        draft.member.is_standalone_enabled = value.switch()?;
    },
    "peerType" => |draft, value| draft.member.kind = Some(members::kind(value)?),
    "electionAlg" => |_draft, value| {
        if value.text() != "3" {
            return Err(value.unexpected("3, the only election there is"));
        }
    },
    "localSessionsEnabled" => |draft, value| {
        draft.member.has_local_sessions = value.switch()?;
    },
    "localSessionsUpgradingEnabled" => |draft, value| {
        draft.member.upgrades_local_sessions = value.switch()?;
    },
    "electionPortBindRetry" => |draft, value| {
        let tries: u32 = value.number(COUNT)?;
        draft.member.bind_tries = (tries > 0).then_some(tries);
    },
    "cnxTimeout" => |draft, value| {
        let millis = value.at_least(1, MILLIS_ABOVE_ZERO)?;
        draft.member.dial_timeout = Duration::from_millis(millis);
    },
    "quorumListenOnAllIPs" => |draft, value| draft.member.listens_on_all = value.switch()?,
    "multiAddress.enabled" => |draft, value| draft.member.has_address_lists = value.switch()?,
    "forceSync" => |draft, value| {
        if !value.switch()? {
            draft.warnings.push(format!(
                "{}: forceSync=no is not obeyed: every write is on stable storage before it is \
                 acknowledged",
                value.setting.place
            ));
        }
    },
    "snapshot.compression.method" => |draft, value| {
        if !value.text().is_empty() {
            draft.warnings.push(format!(
                "{}: snapshot.compression.method is not obeyed: snapshots are written plain; \
                 compressed ones are read",
                value.setting.place
            ));
        }
    },
}

fn directory(value: Value<'_>) -> Result<std::path::PathBuf, ConfigError> {
    if value.text().is_empty() {
        Err(value.unexpected("a directory"))
    } else {
        Ok(value.text().into())
    }
}

/// Providers that are there without being asked for change nothing. Any other would decide whom to
/// let in.
fn auth_provider(_: &mut Draft, value: Value<'_>) -> Result<(), ConfigError> {
    const BUILT_IN: [&str; 2] = ["IPAuthenticationProvider", "DigestAuthenticationProvider"];
    const EXPECTED: &str = "IPAuthenticationProvider or DigestAuthenticationProvider, which are \
                            always there: no other is part of this version, so nobody could show \
                            who they are";
    let class = value.text().strip_prefix("org.apache.zookeeper.server.auth.");
    let is_built_in = class.is_some_and(|class| BUILT_IN.contains(&class));
    if is_built_in || value.text().is_empty() { Ok(()) } else { Err(value.unexpected(EXPECTED)) }
}

/// A limit of session timeouts; −1 leaves it to the tick.
fn timeout(value: Value<'_>) -> Result<Option<i32>, ConfigError> {
    let millis: i32 = value.at_least(-1, MILLIS)?;
    Ok((millis >= 0).then_some(millis))
}

/// Java accepts a number in hexadecimal here (`0xfffff`).
// ZooKeeper: Integer.getInteger("jute.maxbuffer")
fn frame_bytes(value: Value<'_>) -> Result<i32, ConfigError> {
    const EXPECTED: &str = "a whole number of bytes above 0, below 2147483648";
    let text = value.text();
    let hexadecimal = ["0x", "0X", "#"].iter().find_map(|prefix| text.strip_prefix(prefix));
    let bytes = match hexadecimal {
        Some(digits) => i32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| value.unexpected(EXPECTED))
}

fn words(draft: &mut Draft, value: Value<'_>) {
    let words = value.list();
    let is_word = |word: &str| FourLetter::ALL.iter().any(|known| known.as_str() == word);
    for unknown in words.iter().filter(|word| *word != "*" && !is_word(word)) {
        let unknown = unknown.escape_debug();
        draft.warnings.push(format!("{}: there is no word {unknown}", value.setting.place));
    }
    draft.peer.four_letter_words = if words.iter().any(|word| word == "*") {
        FourLetterWords::All
    } else {
        FourLetterWords::Only(words)
    };
}

/// Keys that would leave a door open, or shut one, if they were passed over; unless they say no.
const REFUSED: &[(&str, &str)] = &[
    ("secureClientPort", TLS),
    ("secureClientPortAddress", TLS),
    ("client.portUnification", TLS),
    ("sessionRequireClientSASLAuth", SASL),
    ("requireClientAuthScheme", SASL),
    ("quorum.auth.enableSasl", QUORUM_SASL),
    ("quorum.auth.learnerRequireSasl", QUORUM_SASL),
    ("quorum.auth.serverRequireSasl", QUORUM_SASL),
    ("sslQuorum", QUORUM_TLS),
    ("ensembleAuthName", "expected nothing: the scheme `ensemble` is not part of this version"),
];
const TLS: &str =
    "expected no TLS port: TLS is not part of this version, so clients could not come in";
const QUORUM_SASL: &str =
    "expected no proof of identity between members: SASL is not part of this version";
const QUORUM_TLS: &str =
    "expected no TLS between members: TLS is not part of this version, so everybody could listen";
const SASL: &str =
    "expected nothing: SASL is not part of this version, so no client could show who it is";

/// Keys of ensembles, which a lone server's file often has, and keys that say what is so anyway.
const SILENT: &[&str] = &[
    "connectToLearnerMasterLimit",
    // A server on its own checks ACLs as it writes, whatever this says.
    "enableEagerACLCheck",
    "syncEnabled",
    "quorumCnxnTimeoutMs",
    "admin.enableServer",
    "serverCnxnFactory",
    "fsync.warningthresholdms",
    "serializeLastProcessedZxid.enabled",
    // The longest time a shutdown waits for requests that wait; here it does not wait for them.
    "request_throttler.shutdownTimeout",
];

/// Keys that tune what is not there.
const WITHOUT_EFFECT: &[&str] = &[
    "observerMasterPort",
    "portUnification",
    "sslQuorumReloadCertFiles",
    "oraclePath",
    "txnLogSizeLimitInKb",
    "commitLogCount",
    "snapshotSizeFactor",
    "flushDelay",
    "maxWriteQueuePollTime",
    "maxBatchSize",
    "intBufferStartingSizeBytes",
    "jute.maxbuffer.extrasize",
    "clientTcpKeepAlive",
    "tcpKeepAlive",
    "maxResponseCacheSize",
    "maxGetChildrenResponseCacheSize",
    "watchManagerName",
    "watcherCleanThreadsNum",
    "watcherCleanThreshold",
    "watcherCleanIntervalInSeconds",
    "maxInProcessingDeadWatchers",
    "bitHashCacheSize",
    "emulate353TTLNodes",
    "allowSaslFailedClients",
    "letAnySaslUserDoX",
    "SASLAuthenticationProvider.superPassword",
    "X509AuthenticationProvider.superUser",
    "IPAuthenticationProvider.usexforwardedfor",
    "requireKerberosConfig",
    "security.auth_to_local",
    "sasl.serverconfig",
    "fips-mode",
    "forceSnapshotSync",
    "leaderConnectDelayDuringRetryMs",
    "readonlymode.enabled",
    "forward_learner_requests_to_commit_processor_disabled",
];

/// Beginnings of such keys.
const FAMILIES_WITHOUT_EFFECT: &[&str] = &[
    "admin.",
    "audit.",
    "client.certReload",
    "commitProcessor.",
    "fastleader.",
    "follower.",
    "jvm.pause.",
    "kerberos.",
    "leader.",
    "learner.",
    "messageTracker.",
    "metricsProvider.",
    "multiAddress.",
    "netty.",
    "nio.",
    "observer.",
    "observerMaster.",
    "pathStats.",
    "quorum.",
    "ssl.",
    "superUser",
];
