//! Other clients' recipes, in processes of their own.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};
use zk_client::Client;
use zk_server_embedded::testing::TestServer;

use crate::{
    peers,
    subject::{Kind, Settings, Subject},
};

/// Everybody's sessions: on a busy machine none must end by itself. The longest that Apache gives
/// with our ticks, and those killed are missed well within a turn's time.
pub const SESSION: Duration = Duration::from_secs(10);

/// The longest that a process may take for what it was told, in seconds. Others of its kind may be
/// served first, again and again: of those who contend nobody is promised a turn.
const TURN_SECS_MAX: u64 = 240;

/// A server that both sides use.
pub enum Server {
    /// One of ours, in this process.
    Ours(Box<TestServer>),
    /// Apache 3.9.5.
    Apache(Subject),
}

impl Server {
    /// Starts one of ours.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn ours() -> Self {
        Self::Ours(Box::new(TestServer::start().await.expect("a server")))
    }

    /// Starts Apache's.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn apache() -> Self {
        let settings = Settings { tick_ms: 500, ..Settings::default() };
        Self::Apache(Subject::start(Kind::Apache39, &settings).await)
    }

    /// Where it listens.
    pub fn connect_string(&self) -> String {
        match self {
            Self::Ours(server) => server.connect_string(),
            Self::Apache(server) => server.connect_string(),
        }
    }

    /// A client of ours.
    ///
    /// # Panics
    /// When there is no session.
    pub async fn client(&self) -> Client {
        let builder = Client::builder(self.connect_string()).session_timeout(SESSION);
        builder.connect().await.expect("a session")
    }
}

/// A process with a foreign client in it. Killed when dropped, as by a crash.
pub struct Foreign {
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    process: Child,
    /// The last command, to say what was not answered.
    told: String,
}

impl Foreign {
    /// A Java process with Curator in it, which takes commands. See the class in `tests/java`.
    pub fn java(server: &Server, class: &str) -> Self {
        Self::start(Self::java_command(class).args(Self::place(server)))
    }

    fn java_command(class: &str) -> Command {
        let jars = peers::apache_39().join("*");
        let class_path = format!("{}:{}", peers::java_driver().display(), jars.display());
        let mut command = Command::new(peers::java());
        command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &class_path, class]);
        command
    }

    /// Where and in which sessions: what a process that takes commands is told first.
    fn place(server: &Server) -> [String; 2] {
        [server.connect_string(), SESSION.as_millis().to_string()]
    }

    /// A Python process with kazoo in it, which runs a program of `tests/interop` and ends.
    pub fn python(server: &Server, program: &str, arguments: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop").join(program);
        let mut command = Command::new(peers::kazoo_python());
        command.arg(program).arg(server.connect_string()).args(arguments);
        Self::start(&mut command)
    }

    /// A Python process with kazoo in it, one of many, which takes commands.
    pub fn python_among_many(server: &Server, program: &str) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop").join(program);
        let mut command = Command::new(peers::kazoo_python());
        Self::start(command.arg(program).args(Self::place(server)))
    }

    /// A process of ours, one of many, which takes commands.
    pub fn ours_among_many(server: &Server, program: &str) -> Self {
        Self::start(Command::new(program).args(Self::place(server)))
    }

    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("a process");
        let commands = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { commands, answers, process, told: String::new() }
    }

    /// Gives a command.
    ///
    /// # Panics
    /// When nobody takes it.
    pub async fn tell(&mut self, command: &str) {
        let line = format!("{command}\n");
        command.clone_into(&mut self.told);
        self.commands.write_all(line.as_bytes()).await.expect("a listening process");
    }

    /// Waits for a line.
    ///
    /// # Panics
    /// When none comes.
    pub async fn answer(&mut self) -> String {
        let limit = Duration::from_secs(TURN_SECS_MAX);
        let came = tokio::time::timeout(limit, self.line()).await;
        came.unwrap_or_else(|_| panic!("waited {limit:?} in vain: an answer to {:?}", self.told))
    }

    /// The next line, whenever it comes. May be dropped and asked for again.
    ///
    /// # Panics
    /// When none can come.
    pub async fn line(&mut self) -> String {
        self.answers.next_line().await.expect("text").expect("a process that has not ended")
    }

    /// Kills the process, as a crash does, and waits until it is no more. It says nothing to the
    /// servers.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(&mut self) {
        self.process.kill().await.expect("killed");
    }

    /// Gives a command and waits for a line.
    pub async fn ask(&mut self, command: &str) -> String {
        self.tell(command).await;
        self.answer().await
    }

    /// Tells it to take turns; the tokens of their nodes.
    pub async fn take(mut self, command: String) -> Vec<i64> {
        self.tell(&command).await;
        self.turns().await
    }

    /// The tokens of its turns.
    ///
    /// # Panics
    /// When it says anything else.
    pub async fn turns(mut self) -> Vec<i64> {
        let mut tokens = Vec::new();
        loop {
            let answer = self.answer().await;
            match answer.strip_prefix("turn ") {
                Some(token) => tokens.push(token.parse().expect("a number")),
                None if answer == "done" => return tokens,
                None => panic!("it says: {answer}"),
            }
        }
    }
}
