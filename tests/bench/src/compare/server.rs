//! Servers started for a comparison: same configuration, own directories,
//! loopback only, killed when dropped.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::control::Control;
use crate::stop;
use crate::target::Target;

/// Pause between two attempts to reach a server that is starting.
const RETRY: Duration = Duration::from_millis(2);
/// How long a server may take to start.
const START_MAX: Duration = Duration::from_secs(120);
/// How long one attempt may take: a server that is starting may take a request
/// and never answer it.
const ATTEMPT_MAX: Duration = Duration::from_millis(250);
/// How much of a server's own words is shown when it fails.
const LOG_LINES_SHOWN: usize = 12;

/// Whose servers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Subject {
    /// `zk-server` of this workspace.
    Ours,
    /// Apache `ZooKeeper` on a JVM.
    Apache,
    /// The do-nothing server: the least that anything can cost.
    Floor,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Apache => "Java",
            Self::Floor => "floor",
        })
    }
}

/// How servers are started.
#[derive(Clone, Debug)]
pub(crate) struct Launcher {
    /// The `zk-server` program.
    pub(crate) ours: PathBuf,
    /// The directory with Apache's jars, or the home with `lib` and `conf`.
    pub(crate) apache: PathBuf,
    pub(crate) java: PathBuf,
    /// Everything is written below this.
    pub(crate) directory: PathBuf,
    /// Servers of one ensemble; one stands alone.
    pub(crate) members: u32,
}

impl Launcher {
    /// Starts an ensemble on empty directories; it does not answer yet.
    ///
    /// # Errors
    /// If its files cannot be written or its processes not started.
    pub(crate) fn start(&self, subject: Subject, name: &str) -> io::Result<Ensemble> {
        let ports = free_ports(self.members as usize * 3)?;
        let mut members = Vec::new();
        for place in 0..self.members as usize {
            let directory = self.directory.join(format!("{subject}-{name}-{}", place + 1));
            fs::create_dir_all(directory.join("data"))?;
            let port = ports[place * 3];
            fs::write(directory.join("zoo.cfg"), self.configuration(&directory, port, &ports))?;
            if self.members > 1 {
                fs::write(directory.join("data/myid"), format!("{}\n", place + 1))?;
            }
            let process = self.launch(subject, &directory)?;
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            members.push(Member { process, directory, address });
        }
        Ok(Ensemble { subject, launcher: self.clone(), members })
    }

    fn launch(&self, subject: Subject, directory: &Path) -> io::Result<Child> {
        let log = File::options().create(true).append(true).open(directory.join("log"))?;
        let mut command = self.command(subject)?;
        command
            .arg("zoo.cfg")
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        command.spawn().map_err(|error| {
            io::Error::other(format!("{}: {error}", command.get_program().display()))
        })
    }

    fn command(&self, subject: Subject) -> io::Result<Command> {
        match subject {
            Subject::Ours => Ok(Command::new(&self.ours)),
            Subject::Apache => {
                let home = self.apache.display();
                let has_lib = self.apache.join("lib").is_dir();
                let jars = if has_lib {
                    format!("{home}/conf:{home}/lib/*")
                } else {
                    format!("{home}:{home}/*")
                };
                let mut command = Command::new(&self.java);
                command
                    .args(["-Xmx1g", "-cp", &jars])
                    .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
                Ok(command)
            }
            Subject::Floor => Err(io::Error::other("the floor is no server with a configuration")),
        }
    }

    /// The same for both subjects, whatever it says.
    fn configuration(&self, directory: &Path, port: u16, ports: &[u16]) -> String {
        let mut text = format!(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort={port}\n\
             clientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n\
             4lw.commands.whitelist=*\n",
            directory.join("data").display()
        );
        if self.members > 1 {
            for (place, ports) in ports.chunks_exact(3).enumerate() {
                let line = format!("server.{}=127.0.0.1:{}:{}\n", place + 1, ports[1], ports[2]);
                text.push_str(&line);
            }
        }
        text
    }
}

/// One server of one's own, or several that belong together.
#[derive(Debug)]
pub(crate) struct Ensemble {
    pub(crate) subject: Subject,
    launcher: Launcher,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    process: Child,
    directory: PathBuf,
    address: SocketAddr,
}

impl Ensemble {
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.process.id()).collect()
    }

    pub(crate) fn target(&self) -> Target {
        Target {
            addresses: self.members.iter().map(|member| member.address).collect(),
            chroot: String::new(),
        }
    }

    /// Tries a first write until it is answered.
    ///
    /// # Errors
    /// If a server ends by itself or none answers in time.
    pub(crate) fn await_write(&mut self) -> io::Result<()> {
        self.attempt(|control| control.create("/zk-bench-launch", b"first"))
    }

    /// Tries to read a value until it is answered.
    ///
    /// # Errors
    /// If a server ends by itself or none answers in time.
    pub(crate) fn await_read(&mut self, path: &str) -> io::Result<()> {
        self.attempt(|control| control.get(path).map(drop))
    }

    /// Kills every process without warning and starts all of them again.
    ///
    /// # Errors
    /// If a process cannot be started again.
    pub(crate) fn kill_and_relaunch(&mut self) -> io::Result<Instant> {
        for member in &mut self.members {
            member.kill();
        }
        let launched = Instant::now();
        for member in &mut self.members {
            member.process = self.launcher.launch(self.subject, &member.directory)?;
        }
        Ok(launched)
    }

    /// Which member leads, by its own word.
    ///
    /// # Errors
    /// If none does in time.
    pub(crate) fn leader(&self) -> io::Result<usize> {
        let end = Instant::now() + START_MAX;
        loop {
            stop::check()?;
            for (place, member) in self.members.iter().enumerate() {
                if member.says("srvr").is_ok_and(|said| said.contains("Mode: leader")) {
                    return Ok(place);
                }
            }
            if Instant::now() >= end {
                return Err(io::Error::other(format!("{}: nobody leads", self.subject)));
            }
            thread::sleep(RETRY);
        }
    }

    pub(crate) fn address(&self, place: usize) -> SocketAddr {
        self.members[place].address
    }

    /// The addresses of all others.
    pub(crate) fn others(&self, place: usize) -> Vec<SocketAddr> {
        let others = self.members.iter().enumerate().filter(|(other, _)| *other != place);
        others.map(|(_, member)| member.address).collect()
    }

    /// Kills one process without warning.
    pub(crate) fn kill(&mut self, place: usize) {
        self.members[place].kill();
    }

    /// Lets one process stand still, its sockets open, or go on.
    ///
    /// # Errors
    /// If the process is gone.
    pub(crate) fn freeze(&self, place: usize, is_frozen: bool) -> io::Result<()> {
        let signal = if is_frozen { Signal::STOP } else { Signal::CONT };
        let pid = i32::try_from(self.members[place].process.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("a process without a number"))?;
        Ok(kill_process(pid, signal)?)
    }

    /// Starts a killed member again; returns when.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub(crate) fn relaunch(&mut self, place: usize) -> io::Result<Instant> {
        let launched = Instant::now();
        let member = &mut self.members[place];
        member.process = self.launcher.launch(self.subject, &member.directory)?;
        Ok(launched)
    }

    fn attempt(&mut self, mut deed: impl FnMut(&mut Control) -> io::Result<()>) -> io::Result<()> {
        let end = Instant::now() + START_MAX;
        let mut turn = 0;
        loop {
            stop::check()?;
            let place = turn % self.members.len();
            let address = self.members[place].address;
            let tried = Control::connect_within(address, ATTEMPT_MAX)
                .and_then(|mut control| deed(&mut control));
            let Err(error) = tried else { return Ok(()) };
            for member in &mut self.members {
                if let Some(status) = member.process.try_wait()? {
                    let said = member.last_words();
                    return Err(io::Error::other(format!("{} {status}\n{said}", self.subject)));
                }
            }
            if Instant::now() >= end {
                let said = self.members[place].last_words();
                return Err(io::Error::other(format!("{}: {error}\n{said}", self.subject)));
            }
            thread::sleep(RETRY);
            turn += 1;
        }
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for member in &mut self.members {
            member.kill();
            // What a comparison wrote is large; the next phase needs the room.
            fs::remove_dir_all(&member.directory).ok();
        }
    }
}

impl Member {
    fn kill(&mut self) {
        // An error means that it has ended by itself, which is as well.
        self.process.kill().ok();
        self.process.wait().ok();
    }

    /// The answer to a four-letter word.
    fn says(&self, word: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(ATTEMPT_MAX))?;
        stream.write_all(word.as_bytes())?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

/// Ports that were free a moment ago.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    // All are held before any is given back, so that they differ.
    let held = (0..count)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<io::Result<Vec<TcpListener>>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_stands_alone_and_three_know_each_other() {
        let alone = launcher(1).configuration(Path::new("/d"), 7, &[7, 8, 9]);
        let ports: Vec<u16> = (1..=9).collect();
        let three = launcher(3).configuration(Path::new("/d"), 4, &ports);

        assert!(alone.contains("clientPort=7\n") && !alone.contains("server."));
        assert!(three.contains("server.1=127.0.0.1:2:3\n"), "{three}");
        assert!(three.contains("server.3=127.0.0.1:8:9\n"), "{three}");
    }

    #[test]
    fn free_ports_differ() {
        let ports = free_ports(9).expect("there are free ports");
        let distinct: std::collections::BTreeSet<u16> = ports.iter().copied().collect();

        assert_eq!(distinct.len(), 9);
    }

    fn launcher(members: u32) -> Launcher {
        Launcher {
            ours: PathBuf::from("zk-server"),
            apache: PathBuf::from("jars"),
            java: PathBuf::from("java"),
            directory: PathBuf::from("here"),
            members,
        }
    }
}
