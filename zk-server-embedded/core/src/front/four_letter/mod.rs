//! Answers to four-letter questions, letter for letter as operators' tools parse them.
//!
//! [`answer`] turns a question and a [`View`] of the server into text. It changes nothing: the
//! words that reset counters or set the trace mask are carried out by whoever asks for the answer,
//! once
//! [`is_allowed`] says so.

mod connections;
mod dump;
mod ensemble;
mod monitor;
mod text;
mod view;

pub use ensemble::LearnersView;
pub use view::{
    ConnectionView, Host, LatencyView, Serving, SessionPart, SessionView, Summary, View,
};

use alloc::{format, string::String};
use core::fmt::{self, Write as _};

use self::text::Text;
use super::FourLetter;
use crate::config::{FourLetterWords, PeerConfig};

/// What this server calls itself where Apache `ZooKeeper` shows version, commit and date. The
/// number is the release whose behaviour this server has: tools compare it.
pub const VERSION: &str =
    concat!("3.9.5-zk-server-", env!("CARGO_PKG_VERSION"), ", built on 2026-02-11 20:18 UTC");

/// Bytes of the longest answer; a longer list is cut and says so.
// reliability.md M45
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Whether the configuration lets a question be answered.
pub fn is_allowed(question: FourLetter, words: &FourLetterWords) -> bool {
    match words {
        FourLetterWords::All => true,
        FourLetterWords::Only(words) => words.iter().any(|word| word == question.as_str()),
    }
}

/// The whole answer; the connection is closed after it.
pub fn answer(question: FourLetter, view: &View<'_>) -> String {
    if !is_allowed(question, &view.config.four_letter_words) {
        return format!(
            "{} is not executed because it is not in the whitelist.\n",
            question.as_str()
        );
    }
    if view.serving == Serving::No
        && let Some(text) = without_service(question)
    {
        return text.into();
    }
    let mut text = Text::new(ANSWER_BYTES_MAX);
    // Writing into memory does not fail.
    write(question, view, &mut text).map_or_else(|_| String::new(), |()| text.into_string())
}

/// What stands in for an answer while there is no service; `None` where the question is answered
/// all the same.
const fn without_service(question: FourLetter) -> Option<&'static str> {
    const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";
    match question {
        FourLetter::Ruok | FourLetter::Envi | FourLetter::Gtmk | FourLetter::Stmk(_) => None,
        FourLetter::Isro => Some("null"),
        FourLetter::Hash => Some("This ZooKeeper instance is not currently serving requests"),
        FourLetter::Conf
        | FourLetter::Cons
        | FourLetter::Crst
        | FourLetter::Dirs
        | FourLetter::Dump
        | FourLetter::Mntr
        | FourLetter::Srvr
        | FourLetter::Srst
        | FourLetter::Stat
        | FourLetter::Wchc
        | FourLetter::Wchp
        | FourLetter::Wchs => Some(NOT_SERVING),
    }
}

fn write(question: FourLetter, view: &View<'_>, text: &mut Text) -> fmt::Result {
    match question {
        FourLetter::Conf => conf(view, text),
        FourLetter::Cons => connections::cons(view, text),
        FourLetter::Crst => text.write_str("Connection stats reset.\n"),
        FourLetter::Dirs => {
            writeln!(text, "datadir_size: {}", view.host.data_dir_bytes)?;
            writeln!(text, "logdir_size: {}", view.host.log_dir_bytes)
        }
        FourLetter::Dump => dump::dump(view, text),
        FourLetter::Envi => envi(&view.host, text),
        FourLetter::Gtmk => write!(text, "{}", view.trace_mask),
        FourLetter::Hash => hash(view, text),
        FourLetter::Isro => text.write_str(match view.serving {
            Serving::Yes => "rw",
            Serving::ReadOnly => "ro",
            Serving::No => "null",
        }),
        FourLetter::Mntr => monitor::mntr(view, text),
        FourLetter::Ruok => text.write_str("imok"),
        FourLetter::Srvr => srvr(view, text, false),
        FourLetter::Srst => text.write_str("Server stats reset.\n"),
        FourLetter::Stat => srvr(view, text, true),
        FourLetter::Stmk(mask) => write!(text, "{mask}"),
        FourLetter::Wchc => dump::watches_by_session(view, text),
        FourLetter::Wchp => dump::watches_by_path(view, text),
        FourLetter::Wchs => {
            let (connections, paths) = (view.watching_connections, view.watched_paths);
            writeln!(text, "{connections} connections watching {paths} paths")?;
            writeln!(text, "Total watches:{}", view.data_watches)
        }
    }
}

fn conf(view: &View<'_>, text: &mut Text) -> fmt::Result {
    let config: &PeerConfig = view.config;
    writeln!(text, "clientPort={}", config.shown.client_port)?;
    writeln!(text, "secureClientPort={}", config.shown.secure_client_port)?;
    writeln!(text, "dataDir={}", config.shown.data_dir)?;
    writeln!(text, "dataDirSize={}", view.host.data_dir_bytes)?;
    writeln!(text, "dataLogDir={}", config.shown.log_dir)?;
    writeln!(text, "dataLogSize={}", view.host.log_dir_bytes)?;
    writeln!(text, "tickTime={}", config.tick_ms)?;
    writeln!(text, "maxClientCnxns={}", config.connections_per_address_max)?;
    writeln!(text, "minSessionTimeout={}", config.session_timeout_ms_min)?;
    writeln!(text, "maxSessionTimeout={}", config.session_timeout_ms_max)?;
    writeln!(text, "clientPortListenBacklog={}", config.shown.listen_backlog)?;
    // ZooKeeper: ZooKeeperServer.getServerId (a server without an ensemble has no number)
    match &config.member {
        None => writeln!(text, "serverId=0"),
        Some(member) => {
            writeln!(text, "serverId={}", config.id)?;
            ensemble::conf(config, member, text)
        }
    }
}

fn envi(host: &Host, text: &mut Text) -> fmt::Result {
    writeln!(text, "Environment:")?;
    writeln!(text, "zookeeper.version={VERSION}")?;
    writeln!(text, "host.name={}", shown(host.host_name.as_ref()))?;
    for key in ["version", "vendor", "home", "class.path", "library.path"] {
        writeln!(text, "java.{key}={NOT_AVAILABLE}")?;
    }
    writeln!(text, "java.io.tmpdir={}", shown(host.temporary_dir.as_ref()))?;
    writeln!(text, "java.compiler={NOT_AVAILABLE}")?;
    writeln!(text, "os.name={}", shown(host.os_name.as_ref()))?;
    writeln!(text, "os.arch={}", shown(host.os_arch.as_ref()))?;
    writeln!(text, "os.version={}", shown(host.os_version.as_ref()))?;
    writeln!(text, "user.name={}", shown(host.user_name.as_ref()))?;
    writeln!(text, "user.home={}", shown(host.user_home.as_ref()))?;
    writeln!(text, "user.dir={}", shown(host.user_dir.as_ref()))?;
    for (key, bytes) in [
        ("free", host.memory_free_bytes),
        ("max", host.memory_max_bytes),
        ("total", host.memory_total_bytes),
    ] {
        writeln!(text, "os.memory.{key}={}MB", bytes / (1024 * 1024))?;
    }
    Ok(())
}

/// What stands where a fact is missing.
const NOT_AVAILABLE: &str = "<NA>";

/// A fact on one line, whatever it holds.
fn shown(fact: Option<&String>) -> core::str::EscapeDebug<'_> {
    fact.map_or(NOT_AVAILABLE, String::as_str).escape_debug()
}

fn hash(view: &View<'_>, text: &mut Text) -> fmt::Result {
    for (zxid, digest) in &view.digests {
        writeln!(text, "{zxid:x}: {}", digest.cast_signed())?;
    }
    Ok(())
}

fn srvr(view: &View<'_>, text: &mut Text, with_clients: bool) -> fmt::Result {
    writeln!(text, "Zookeeper version: {VERSION}")?;
    if view.serving == Serving::ReadOnly {
        writeln!(text, "READ-ONLY mode; serving only read-only clients")?;
    }
    if with_clients {
        writeln!(text, "Clients:")?;
        for connection in &view.connections {
            connections::line(connection, text, false)?;
        }
        writeln!(text)?;
    }
    let latency = &view.latency;
    let average = text::Average { sum: latency.sum_ms, count: latency.count };
    writeln!(text, "Latency min/avg/max: {}/{average}/{}", latency.min_ms, latency.max_ms)?;
    writeln!(text, "Received: {}", view.packets_received)?;
    writeln!(text, "Sent: {}", view.packets_sent)?;
    writeln!(text, "Connections: {}", view.connections_alive)?;
    writeln!(text, "Outstanding: {}", view.requests_outstanding)?;
    writeln!(text, "Zxid: {}", view.zxid)?;
    writeln!(text, "Mode: {}", view.mode)?;
    writeln!(text, "Node count: {}", view.node_count)?;
    ensemble::proposal_sizes(view, text)
}

#[cfg(test)]
mod tests;
