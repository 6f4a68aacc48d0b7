//! The program `zk-server`, started as an operator starts it.
#![cfg(feature = "cli")]

mod support;

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use support::Raw;

/// A running program; ended with the test.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        Self::of(&mut program(arguments))
    }

    fn of(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a process");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ").expect("an address");
        Self { child, address: address.parse().expect("an address") }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().expect("kill");
        assert!(status.success());
    }

    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().expect("an end").code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zk-server"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn outcome(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = program(arguments).output().expect("a process");
    (status.code(), String::from_utf8(stderr).expect("text"))
}

/// An empty directory of this test.
fn directory(test: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    drop(std::fs::remove_dir_all(&path));
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

fn config_file(test: &str, more: &str) -> PathBuf {
    let directory = directory(test);
    let file = directory.join("zoo.cfg");
    let data = directory.join("data");
    let settings =
        format!("dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\n{more}", data.display());
    std::fs::write(&file, settings).expect("a file");
    file
}

#[test]
fn it_serves_in_memory_until_it_is_terminated() {
    for signal in ["TERM", "INT"] {
        let program = Program::start(&["--in-memory", "--listen", "127.0.0.1:0"]);
        let mut client = Raw::connect(program.address);
        client.create("/a", b"", 0).ok();
        program.signal(signal);
        client.assert_closed();
        assert_eq!(program.exit_code(), Some(0), "{signal}");
    }
}

#[test]
fn it_serves_what_a_configuration_file_says_and_keeps_it() {
    let file = config_file("keeps", "tickTime=2000\nnosuchkey=1\n4lw.commands.whitelist=*\n");
    let file = file.to_str().expect("text");
    let program = Program::start(&[file]);
    Raw::connect(program.address).create("/kept", b"x", 0).ok();
    assert!(support::ask(program.address, "conf").contains("tickTime=2000\n"));
    program.signal("TERM");
    assert_eq!(program.exit_code(), Some(0));
    let program = Program::start(&[file]);
    Raw::connect(program.address).get("/kept").ok();
}

#[test]
fn two_of_them_do_not_share_a_directory() {
    let file = config_file("locked", "");
    let file = file.to_str().expect("text");
    let _first = Program::start(&[file]);
    let (code, message) = outcome(&[file]);
    assert_eq!(code, Some(3), "{message}");
}

#[test]
fn wrong_invocations_and_files_are_told_apart() {
    assert_eq!(outcome(&[]).0, Some(2));
    assert_eq!(outcome(&["--nosuch"]).0, Some(2));
    assert_eq!(outcome(&["/nosuch/zoo.cfg"]).0, Some(2));
    let file = config_file("wrong", "tickTime=soon\n");
    let (code, message) = outcome(&[file.to_str().expect("text")]);
    assert_eq!(code, Some(2));
    assert!(message.contains("zoo.cfg: line 4: tickTime: expected"), "{message}");
    let file = config_file("ensemble", "server.1=a:1:2\nserver.2=b:1:2\n");
    let (code, message) = outcome(&[file.to_str().expect("text")]);
    assert_eq!(code, Some(2));
    assert!(message.contains("myid: expected this server's number"), "{message}");
}

#[test]
fn it_tells_how_a_running_server_is() {
    let program = Program::start(&["--in-memory", "--listen", "127.0.0.1:0"]);
    let address = program.address.to_string();
    let Output { status, stdout, .. } =
        self::program(&["--health", &address]).output().expect("a process");
    assert_eq!((status.code(), &stdout[..]), (Some(0), &b"standalone\n"[..]));
    program.signal("TERM");
    assert_eq!(program.exit_code(), Some(0));
    let (code, message) = outcome(&["--health", &address]);
    assert_eq!(code, Some(1));
    assert!(message.contains(&address), "{message}");
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, message) = outcome(&["--in-memory", "--listen", &address]);
    assert_eq!(code, Some(1));
    assert!(message.contains(&address), "{message}");
}

#[test]
fn f39_without_descriptors_it_stops_accepting_and_keeps_its_sessions() {
    let program = Program::of(
        Command::new("sh")
            .args(["-c", "ulimit -n 40; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_zk-server")])
            .args(["--in-memory", "--listen", "127.0.0.1:0"]),
    );
    let mut client = Raw::connect(program.address);
    let waiting: Vec<Raw> = (0..60).map(|_| Raw::open(program.address)).collect();
    for number in 0..20 {
        client.create(&format!("/n{number}"), b"", 0).ok();
    }
    drop(waiting);
    // Whoever waited in the system's queue is let in once there is room again.
    Raw::connect(program.address).get("/n19").ok();
    client.get("/n0").ok();
}

#[test]
fn f13_a_write_that_cannot_be_stored_is_not_acknowledged_and_ends_the_server() {
    let data = directory("full");
    // Files may grow to a few kilobytes, and growing them further is an error, not a signal.
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    let program = Program::of(
        Command::new("sh")
            .args(["-c", script, "sh", env!("CARGO_BIN_EXE_zk-server")])
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data),
    );
    let mut client = Raw::open(program.address);
    assert_eq!(client.handshake(&support::new_session(30_000)), None);
    assert_eq!(program.exit_code(), Some(10));
}

#[test]
fn help_and_version_are_printed() {
    for flag in ["--help", "--version"] {
        let mut child = program(&[flag]).spawn().expect("a process");
        let mut text = String::new();
        child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("text");
        assert!(text.contains("zk-server"), "{text}");
        assert_eq!(child.wait().expect("an end").code(), Some(0));
    }
}
