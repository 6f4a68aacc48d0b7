//! Members as processes, from configuration files, on a real disk.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use zk_client::Retry;
use zk_tests::{
    patience::until, peers, ports, process::Process, scratch::Scratch, subject::word_of,
};

use crate::client_of;

/// How long an ensemble of processes may take to have a leader.
const ELECTION: Duration = Duration::from_secs(240);

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    file: PathBuf,
    pub(crate) process: Option<Process>,
}

pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Node>,
    _scratch: Scratch,
}

impl Nodes {
    /// Starts three servers by the files that Apache's servers would take.
    fn start() -> Self {
        Self::start_on(|home| home.join("data"))
    }

    /// Starts three servers, the data of each where `data` says, given the server's own directory.
    pub(crate) fn start_on(mut data: impl FnMut(&Path) -> PathBuf) -> Self {
        let scratch = Scratch::new("processes");
        let mut servers = String::new();
        let mut addresses = Vec::new();
        for id in 1..=3 {
            let (client, quorum, election) = (ports::free(), ports::free(), ports::free());
            writeln!(servers, "server.{id}=127.0.0.1:{quorum}:{election};127.0.0.1:{client}")
                .expect("a string takes everything");
            addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, client)));
        }
        let mut nodes = Vec::new();
        for (index, address) in addresses.into_iter().enumerate() {
            let home = scratch.path().join((index + 1).to_string());
            let data = data(&home);
            fs::create_dir_all(&home).expect("room");
            fs::create_dir_all(&data).expect("room");
            // As durable as an operator's: a disk that fails later must not take it along.
            let mut myid = File::create(data.join("myid")).expect("room");
            writeln!(myid, "{}", index + 1).and_then(|()| myid.sync_all()).expect("room");
            let file = home.join("zoo.cfg");
            let text = format!(
                "dataDir={}\ntickTime=500\ninitLimit=120\nsyncLimit=60\n\
                 4lw.commands.whitelist=*\nadmin.enableServer=false\n{servers}",
                data.display()
            );
            fs::write(&file, text).expect("room");
            nodes.push(Node { address, file, process: None });
        }
        let mut nodes = Self { nodes, _scratch: scratch };
        for index in 0..3 {
            nodes.run(index);
        }
        nodes
    }

    pub(crate) fn run(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let output = node.file.with_extension("log");
        let process = Process::start(Command::new(peers::zk_server()).arg(&node.file), &output);
        node.process = Some(process);
    }

    pub(crate) fn connect_string(&self) -> String {
        let addresses: Vec<String> =
            self.nodes.iter().map(|node| node.address.to_string()).collect();
        addresses.join(",")
    }

    /// Waits until one leads and so many follow; says which leads.
    pub(crate) async fn settled(&self, followers: usize) -> usize {
        until("a leader and its followers", ELECTION, || async {
            let mut roles = Vec::new();
            for node in &self.nodes {
                roles.push(word_of(node.address, "srvr").await.unwrap_or_default());
            }
            let leads = roles.iter().position(|role| role.contains("Mode: leader"))?;
            let following = roles.iter().filter(|role| role.contains("Mode: follower")).count();
            (following >= followers).then_some(leads)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_the_leaders_process_is_killed_and_nothing_acknowledged_is_lost() {
    let mut nodes = Nodes::start();
    let leader = nodes.settled(2).await;
    let zk = client_of(nodes.connect_string()).await;
    for number in 0..50 {
        zk.create(&format!("/before-{number}"), b"").await.expect("a quorum");
    }
    nodes.nodes[leader].process = None;
    let next = nodes.settled(1).await;
    assert_ne!(next, leader);
    // What was asked on the connection that broke has lost its answer.
    let retry = Retry::default();
    for number in 0..50 {
        let path = format!("/before-{number}");
        let found = retry.run_idempotent(&zk, || zk.exists(&path)).await;
        assert!(found.expect("answered").is_some(), "{path}");
    }
    nodes.run(leader);
    nodes.settled(2).await;
    let back = client_of(nodes.nodes[leader].address.to_string()).await;
    back.sync("/").await.expect("synced");
    assert!(back.exists("/before-49").await.expect("answered").is_some());
}

#[tokio::test]
async fn f32_a_member_that_is_not_in_the_list_does_not_start() {
    let scratch = Scratch::new("stranger");
    let data = scratch.path().join("data");
    fs::create_dir_all(&data).expect("room");
    fs::write(data.join("myid"), "9").expect("room");
    let file = scratch.path().join("zoo.cfg");
    let text = format!(
        "dataDir={}\nclientPort=0\ninitLimit=5\nsyncLimit=2\n\
         server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4\n",
        data.display()
    );
    fs::write(&file, text).expect("room");
    let output = Command::new(peers::zk_server()).arg(&file).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("expected the number of a server in the list (1, 2), found 9"), "{said}");
}
