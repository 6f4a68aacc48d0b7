//! A server under test.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    patience::{ANSWER_SECS_MAX, until},
    peers, ports,
    process::Process,
    scratch::Scratch,
};

/// Whose server, and how it runs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// Our program as a process.
    Ours,
    /// Apache 3.9.5.
    Apache39,
    /// Apache 3.8.
    Apache38,
}

impl Kind {
    /// As a column heading.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "zk-server",
            Self::Apache39 => "apache-3.9.5",
            Self::Apache38 => "apache-3.8",
        }
    }
}

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The basic unit of time, in milliseconds.
    pub tick_ms: u32,
    /// Keys of the configuration file.
    pub keys: Vec<(String, String)>,
    /// Properties, which Apache takes on the command line only.
    pub properties: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tick_ms: 2_000, keys: Vec::new(), properties: Vec::new() }
    }
}

impl Settings {
    /// Adds a key of the configuration file.
    #[must_use]
    pub fn key(mut self, key: &str, value: &str) -> Self {
        self.keys.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds a property.
    #[must_use]
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// A server that runs in a process of its own. It is killed when dropped.
#[derive(Debug)]
pub struct Subject {
    /// Whose it is.
    pub kind: Kind,
    /// Where clients find it.
    pub address: SocketAddr,
    /// The process.
    pub process: Process,
    settings: Settings,
    /// Where everything of this server is; shared by its successors.
    scratch: Arc<Scratch>,
    /// The directory named as `dataDir`.
    data: PathBuf,
}

/// How long a server may take to serve.
const START_SECS_MAX: u64 = 240;

/// How long a server may take to answer a four-letter word before it is asked again. One that is
/// just starting may take the connection and forget it.
const WORD_SECS_MAX: u64 = 5;

impl Subject {
    /// Starts a server on nothing.
    ///
    /// # Panics
    /// When it does not serve.
    pub async fn start(kind: Kind, settings: &Settings) -> Self {
        let scratch = Arc::new(Scratch::new(kind.name()));
        let data = scratch.path().join("data");
        Self::start_at(kind, settings, scratch, data).await
    }

    /// Starts a server on a copy of a data directory (the one that holds `version-2`).
    ///
    /// # Panics
    /// When it does not serve.
    pub async fn start_on_copy(kind: Kind, settings: &Settings, source: &Path) -> Self {
        let scratch = Arc::new(Scratch::new(kind.name()));
        let data = scratch.path().join("data");
        crate::scratch::copy(source, &data);
        Self::start_at(kind, settings, scratch, data).await
    }

    /// Starts a server that keeps its data in a directory of the caller's, which outlives it.
    ///
    /// # Panics
    /// When it does not serve.
    pub async fn start_in(kind: Kind, settings: &Settings, data: PathBuf) -> Self {
        Self::start_at(kind, settings, Arc::new(Scratch::new(kind.name())), data).await
    }

    /// The same server again, on the same data, after its process ended or was killed here.
    ///
    /// # Panics
    /// When it does not serve.
    pub async fn restart(mut self) -> Self {
        self.process.kill();
        let Self { kind, settings, scratch, data, .. } = self;
        Self::start_at(kind, &settings, scratch, data).await
    }

    /// The directory named as `dataDir`.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// As clients write the address.
    pub fn connect_string(&self) -> String {
        self.address.to_string()
    }

    /// What the server answers to a four-letter word.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn word(&self, word: &str) -> String {
        answer_of(self.address, word).await
    }

    /// A value of `mntr`.
    ///
    /// # Panics
    /// When there is none of that name.
    pub async fn monitored(&self, name: &str) -> String {
        let all = self.word("mntr").await;
        let found = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
        found.unwrap_or_else(|| panic!("no {name} in\n{all}")).to_owned()
    }

    async fn start_at(
        kind: Kind,
        settings: &Settings,
        scratch: Arc<Scratch>,
        data: PathBuf,
    ) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let file = scratch.path().join("zoo.cfg");
        fs::write(&file, configuration(kind, settings, address.port(), &data)).expect("writable");
        let mut command = command(kind, settings, &file);
        command.current_dir(scratch.path());
        let mut process = Process::start(&mut command, &scratch.path().join("output.log"));
        let mut ended = None;
        until("a server that serves", Duration::from_secs(START_SECS_MAX), || {
            ended = process.ended();
            let answer = word_of(address, "srvr");
            let ended = ended.is_some();
            async move { (ended || answer.await?.contains("Mode: standalone")).then_some(()) }
        })
        .await;
        if let Some(status) = ended {
            panic!("{} ended with {status}:\n{}", kind.name(), process.output());
        }
        Self { kind, address, process, settings: settings.clone(), scratch, data }
    }
}

fn configuration(kind: Kind, settings: &Settings, port: u16, data: &Path) -> String {
    let mut text = format!(
        "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\ntickTime={}\n\
         admin.enableServer=false\n4lw.commands.whitelist=*\nextendedTypesEnabled=true\n",
        data.display(),
        settings.tick_ms
    );
    let properties = match kind {
        Kind::Ours => &settings.properties[..],
        Kind::Apache39 | Kind::Apache38 => &[],
    };
    for (key, value) in settings.keys.iter().chain(properties) {
        writeln!(text, "{key}={value}").expect("a string takes everything");
    }
    text
}

fn command(kind: Kind, settings: &Settings, file: &Path) -> Command {
    let jars = match kind {
        Kind::Ours => {
            let mut command = Command::new(peers::zk_server());
            command.arg(file);
            return command;
        }
        Kind::Apache39 => peers::apache_39(),
        Kind::Apache38 => peers::apache_38(),
    };
    let mut command = Command::new(peers::java());
    // Tree digests hash paths in the default character set of the machine.
    command.args(["-Dfile.encoding=UTF-8", "-Xmx256m", "-XX:TieredStopAtLevel=1"]);
    command.arg(format!("-Djava.library.path={}", jars.display()));
    command.env("LD_LIBRARY_PATH", &jars);
    for (key, value) in &settings.properties {
        command.arg(format!("-D{key}={value}"));
    }
    command.arg("-cp").arg(jars.join("*"));
    command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(file);
    command
}

/// What a server that runs answers to a four-letter word, however often it must be asked.
///
/// # Panics
/// When it does not answer in time.
pub async fn answer_of(address: SocketAddr, word: &str) -> String {
    let limit = Duration::from_secs(ANSWER_SECS_MAX);
    until("an answer to a four-letter word", limit, || word_of(address, word)).await
}

/// What a server at an address answers to a four-letter word, if it does so soon.
pub async fn word_of(address: SocketAddr, word: &str) -> Option<String> {
    let asking = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(word.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    tokio::time::timeout(Duration::from_secs(WORD_SECS_MAX), asking).await.ok()?
}
