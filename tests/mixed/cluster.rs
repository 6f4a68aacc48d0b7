//! Members of one ensemble, each a process of its own, each of ours or Apache's.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use zk_tests::{
    dump,
    patience::until,
    peers, ports,
    process::Process,
    scratch::Scratch,
    subject::{answer_of, word_of},
};

/// Whose program a member runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Make {
    /// `zk-server`.
    Ours,
    /// Apache 3.9.5.
    Apache,
}

/// How long a member may take to serve, or an ensemble to agree: a Java machine on a busy computer.
const SERVE_LIMIT: Duration = Duration::from_secs(240);

/// How long a process may take to stand still.
const STOP_LIMIT: Duration = Duration::from_secs(120);

/// The basic unit of time of all members, in milliseconds.
const TICK_MILLIS: u32 = 500;

/// How long members may take to join a leader, and be silent before they are given up, in ticks:
/// half a minute, longer than a busy machine lets anybody stand still. The dead are noticed at once
/// by the end of their connections.
const LIMIT_TICKS: u32 = 60;

/// The longest session that is granted: as long.
pub(crate) const SESSION: Duration = Duration::from_secs(30);

/// One place in the ensemble. Its program may change, its number, ports and directory never do.
#[derive(Debug)]
struct Seat {
    make: Make,
    is_observer: bool,
    client: SocketAddr,
    quorum_port: u16,
    election_port: u16,
    process: Option<Process>,
}

/// An ensemble. Members are numbered from 1. All are killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    seats: Vec<Seat>,
    /// Lines about groups and weights.
    weights: String,
    has_apache_led: bool,
    /// Lines of every member's file besides the usual ones.
    lines: String,
    scratch: Scratch,
}

impl Cluster {
    /// An ensemble none of whose members runs yet.
    pub(crate) fn new(name: &str, voters: &[Make], observers: &[Make]) -> Self {
        let voters = voters.iter().map(|make| (*make, false));
        let all = voters.chain(observers.iter().map(|make| (*make, true)));
        let seats = all.map(|(make, is_observer)| Seat {
            make,
            is_observer,
            client: SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free())),
            quorum_port: ports::free(),
            election_port: ports::free(),
            process: None,
        });
        let scratch = Scratch::new(name);
        let (seats, weights, lines) = (seats.collect(), String::new(), String::new());
        let cluster = Self { seats, weights, has_apache_led: false, lines, scratch };
        for member in cluster.members() {
            fs::create_dir_all(cluster.data(member)).expect("a directory can be made");
            let file = cluster.data(member).join("myid");
            fs::write(file, format!("{member}\n")).expect("writable");
        }
        cluster
    }

    /// The same with these lines about groups and weights in everybody's file.
    pub(crate) fn weighing(mut self, lines: &str) -> Self {
        self.weights = lines.into();
        self
    }

    /// Adds lines to the file of every member that is started from here on.
    pub(crate) fn configure(&mut self, lines: &str) {
        self.lines.push_str(lines);
    }

    /// Starts everybody in such an order that the voter with the highest number leads.
    pub(crate) async fn start_all(&mut self) {
        let voters = self.seats.iter().filter(|seat| !seat.is_observer).count();
        let quorum = voters / 2 + 1;
        let first = voters - quorum + 1;
        for member in first..=voters {
            self.start(member);
        }
        self.serving(voters).await;
        for member in self.members().filter(|member| !(first..=voters).contains(member)) {
            self.start(member);
        }
        self.all_serve().await;
        assert_eq!(self.leader().await, voters, "the first quorum elects its highest number");
    }

    /// All numbers.
    pub(crate) fn members(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.seats.len()
    }

    /// Those that run.
    pub(crate) fn running(&self) -> Vec<usize> {
        self.members().filter(|member| self.seat(*member).process.is_some()).collect()
    }

    /// Whose program a member runs, or ran last.
    pub(crate) fn make(&self, member: usize) -> Make {
        self.seat(member).make
    }

    /// Where clients reach it.
    pub(crate) fn address(&self, member: usize) -> SocketAddr {
        self.seat(member).client
    }

    /// The directory named as `dataDir`.
    pub(crate) fn data(&self, member: usize) -> PathBuf {
        self.scratch.path().join(format!("{member}")).join("data")
    }

    /// As clients write all addresses.
    pub(crate) fn connect_string(&self) -> String {
        let all: Vec<_> = self.seats.iter().map(|seat| seat.client.to_string()).collect();
        all.join(",")
    }

    /// Starts a member and does not wait for it.
    pub(crate) fn start(&mut self, member: usize) {
        assert!(self.seat(member).process.is_none(), "{member} runs already");
        let file = self.data(member).with_file_name("zoo.cfg");
        fs::write(&file, self.configuration(member)).expect("writable");
        let mut command = program(self.make(member));
        command.arg(&file).current_dir(file.parent().expect("a file lies in a directory"));
        let process = Process::start(&mut command, &self.output(member));
        self.seat_mut(member).process = Some(process);
    }

    /// Starts a member and waits until it serves.
    pub(crate) async fn join(&mut self, member: usize) {
        self.start(member);
        self.serving(member).await;
    }

    /// Ends a member without a chance to say anything (kill −9).
    pub(crate) fn kill(&mut self, member: usize) {
        self.take(member).kill();
    }

    /// Asks a member to end and waits until it has.
    pub(crate) fn stop(&mut self, member: usize) {
        self.take(member).terminate();
    }

    /// Lets a member stand still, and waits until it does.
    pub(crate) async fn pause(&mut self, member: usize) {
        let id = self.seat(member).process.as_ref().expect("it runs").id();
        let sent = Command::new("kill").args(["-STOP", &id.to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -STOP");
        until("a process that stands still", STOP_LIMIT, || async {
            stands_still(id).then_some(())
        })
        .await;
    }

    /// Another program takes over the directory of a member that does not run.
    pub(crate) fn swap(&mut self, member: usize, make: Make) {
        assert!(self.seat(member).process.is_none(), "{member} still runs");
        self.seat_mut(member).make = make;
    }

    /// Takes everything from a member that does not run, except its number.
    pub(crate) fn wipe(&self, member: usize) {
        fs::remove_dir_all(self.data(member).join("version-2")).expect("a directory");
    }

    /// What a member has printed.
    pub(crate) fn printed(&self, member: usize) -> String {
        String::from_utf8_lossy(&fs::read(self.output(member)).unwrap_or_default()).into_owned()
    }

    /// Waits until a member serves; in which mode.
    pub(crate) async fn serving(&mut self, member: usize) -> String {
        let address = self.address(member);
        let mut ended = None;
        let process = self.seat_mut(member).process.as_mut().expect("it runs");
        let mode = until(&format!("member {member} serves"), SERVE_LIMIT, || {
            ended = process.ended();
            let has_ended = ended.is_some();
            async move { if has_ended { Some(String::new()) } else { mode(address).await } }
        })
        .await;
        if let Some(status) = ended {
            panic!("member {member} ended with {status}:\n{}", self.printed(member));
        }
        mode
    }

    /// Waits until everybody that runs serves.
    pub(crate) async fn all_serve(&mut self) {
        for member in self.running() {
            self.serving(member).await;
        }
    }

    /// Whether a member of Apache was seen leading.
    pub(crate) fn has_apache_led(&self) -> bool {
        self.has_apache_led
    }

    /// Waits until exactly one member that runs leads.
    pub(crate) async fn leader(&mut self) -> usize {
        let running = self.running();
        let leader = until("one leader", SERVE_LIMIT, || async {
            let mut leaders = Vec::new();
            for member in &running {
                if mode(self.address(*member)).await.is_some_and(|mode| mode == "leader") {
                    leaders.push(*member);
                }
            }
            match leaders[..] {
                [leader] => Some(leader),
                _ => None,
            }
        })
        .await;
        self.has_apache_led |= self.make(leader) == Make::Apache;
        leader
    }

    /// What a member that runs answers to a four-letter word.
    pub(crate) async fn word(&self, member: usize, word: &str) -> String {
        answer_of(self.address(member), word).await
    }

    /// As [`Self::word`]; `None` when nobody answers.
    pub(crate) async fn answers(&self, member: usize, word: &str) -> Option<String> {
        word_of(self.address(member), word).await
    }

    /// In which mode a member serves, if it does.
    pub(crate) async fn mode(&self, member: usize) -> Option<String> {
        mode(self.address(member)).await
    }

    fn configuration(&self, member: usize) -> String {
        let mut text = format!(
            "dataDir={}\ntickTime={TICK_MILLIS}\ninitLimit={LIMIT_TICKS}\n\
             syncLimit={LIMIT_TICKS}\nmaxSessionTimeout={}\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\nextendedTypesEnabled=true\n\
             DigestAuthenticationProvider.superDigest={}\n{}",
            self.data(member).display(),
            SESSION.as_millis(),
            dump::SUPER_DIGEST,
            self.lines
        );
        if self.seat(member).is_observer {
            text.push_str("peerType=observer\n");
        }
        for (seat, id) in self.seats.iter().zip(self.members()) {
            let role = if seat.is_observer { "observer" } else { "participant" };
            let (quorum, election) = (seat.quorum_port, seat.election_port);
            let client = seat.client;
            writeln!(text, "server.{id}=127.0.0.1:{quorum}:{election}:{role};{client}")
                .expect("a string takes everything");
        }
        text + &self.weights
    }

    fn output(&self, member: usize) -> PathBuf {
        self.scratch.path().join(format!("{member}")).join("output.log")
    }

    fn take(&mut self, member: usize) -> Process {
        self.seat_mut(member).process.take().expect("it runs")
    }

    fn seat(&self, member: usize) -> &Seat {
        &self.seats[member - 1]
    }

    fn seat_mut(&mut self, member: usize) -> &mut Seat {
        &mut self.seats[member - 1]
    }
}

/// In which mode a server serves, if it does.
async fn mode(address: SocketAddr) -> Option<String> {
    let answer = word_of(address, "srvr").await?;
    answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
}

/// Whether no thread of a process runs any more.
fn stands_still(id: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{id}/task")).expect("a running process on Linux");
    threads.filter_map(Result::ok).all(|thread| {
        let line = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name, which may hold anything, ends with the last parenthesis.
        line.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

fn program(make: Make) -> Command {
    if make == Make::Ours {
        return Command::new(peers::zk_server());
    }
    let mut command = Command::new(peers::java());
    // Tree digests hash paths in the default character set of the machine.
    command.args(["-Dfile.encoding=UTF-8", "-Xmx128m", "-XX:TieredStopAtLevel=1"]);
    command.args(["-XX:+UseSerialGC", "-Xshare:auto", "-Dzk.log.level=INFO"]);
    // Nothing vanishes while members are compared.
    command.arg("-Dznode.container.checkIntervalMs=3600000");
    command.arg("-cp").arg(peers::apache_39().join("*"));
    command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
    command
}
