//! Curator's x-discovery 5.4 and ours, on the same services: each reads what the other has
//! registered, updated and taken away, byte for byte where Curator writes bytes.

use std::{process::Stdio, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};
use zk_client::Client;
use zk_recipes::discovery::{
    Registration, ServiceDiscovery, ServiceInstance, ServiceProvider, ServiceType, UriSpec,
};
use zk_server_embedded::testing::TestServer;
use zk_tests::{
    patience::at_most,
    peers,
    subject::{Kind, Settings, Subject},
};

const BASE: &str = "/discovery";

/// Long enough to outlast the start of a Java process beside it; Apache's longest is twenty ticks.
const SESSION: Duration = Duration::from_secs(10);

/// The class of the payloads, as Java names it.
const META: &str = "CuratorDiscovery$Meta";

/// A Java process with Curator in it, which takes commands. Killed when dropped, as by a crash.
struct Curator {
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    process: Child,
}

impl Curator {
    fn start(connect: &str) -> Self {
        let jars = [peers::apache_39(), peers::curator_discovery()].map(|jars| jars.join("*"));
        let [jars, discovery] = jars.map(|jars| jars.display().to_string());
        let class_path = format!("{}:{jars}:{discovery}", peers::java_driver().display());
        let mut command = Command::new(peers::java());
        command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &class_path]);
        command.args(["CuratorDiscovery", connect, &SESSION.as_millis().to_string(), BASE]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("a process");
        let commands = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { commands, answers, process }
    }

    /// Sends a command; the answer behind its first word.
    async fn ask(&mut self, command: &str) -> String {
        let line = format!("{command}\n");
        self.commands.write_all(line.as_bytes()).await.expect("a listening process");
        let answer = at_most("an answer", self.answers.next_line()).await;
        let answer = answer.expect("text").expect("a process that has not ended");
        answer.split_once(' ').map(|(_, rest)| rest.to_owned()).unwrap_or_default()
    }

    /// Asks until the answer is as wanted: Curator's view follows behind.
    async fn until(&mut self, command: &str, wanted: &str) {
        at_most(wanted, async { while self.ask(command).await != wanted {} }).await;
    }
}

/// Ours, as Curator would describe it.
fn ours(id: &str) -> ServiceInstance {
    let instance = ServiceInstance::new("svc").id(id).address("10.0.0.1").port(8080);
    let instance = instance.payload(&json!({"dc": "eu", "weight": 3})).expect("JSON");
    instance.with_java_class(META).uri_spec(UriSpec::new("{scheme}://{address}:{port}"))
}

async fn register(discovery: &ServiceDiscovery, instance: ServiceInstance) -> Registration {
    at_most("a registration", discovery.register(instance)).await.expect("registered")
}

async fn client(connect: &str) -> (Client, ServiceDiscovery) {
    let builder = Client::builder(connect).session_timeout(SESSION);
    let zk = builder.connect().await.expect("a session");
    let discovery = ServiceDiscovery::new(&zk, BASE).expect("a path");
    (zk, discovery)
}

/// What Curator has written is read by us, and what it has written means the same to both.
async fn curators_instances_are_read(connect: String) {
    let (zk, discovery) = client(&connect).await;
    let mut java = Curator::start(&connect);
    let provider = discovery.provider("svc").build().expect("a name");
    for (id, kind) in [("d", "DYNAMIC"), ("s", "STATIC"), ("p", "PERMANENT")] {
        let json = java.ask(&format!("register svc {id} 8080 {kind} eu 3")).await;
        let read = ServiceInstance::from_json(json.as_bytes()).expect("an instance");
        assert_eq!(read.to_json(), json, "ours are the same bytes");
        let wanted = ours(id).registration_time_ms(read.registration_time_ms);
        let kind = [ServiceType::Dynamic, ServiceType::Static, ServiceType::Permanent]
            .into_iter()
            .find(|known| known.to_string() == kind);
        assert_eq!(read, wanted.service_type(kind.expect("a kind")));
        assert_eq!(read.uri().as_deref(), Some("http://10.0.0.1:8080"));
    }
    assert_eq!(discovery.names().await.expect("an answer"), ["svc"]);
    let found = discovery.instances("svc").await.expect("an answer");
    assert_eq!(found.len(), 3);
    until(&provider, &["d", "p", "s"]).await;

    let json = java.ask("update s 9").await;
    let read = ServiceInstance::from_json(json.as_bytes()).expect("an instance");
    assert_eq!(read.port, Some(9));
    let is_updated = || provider.instances().iter().any(|one| one.port == Some(9));
    at_most("the update", async {
        while !is_updated() {
            pause(&zk).await;
        }
    })
    .await;
    java.ask("unregister d").await;
    until(&provider, &["p", "s"]).await;
    drop(java.commands);
    at_most("the end", java.process.wait()).await.expect("an end");
}

/// What we have written is read by Curator: registered, updated, disabled, deregistered.
async fn our_instances_are_read_by_curator(connect: String) {
    let (zk, discovery) = client(&connect).await;
    let mut java = Curator::start(&connect);
    let one = register(&discovery, ours("one")).await;
    let two = register(&discovery, ours("two").service_type(ServiceType::Static)).await;
    assert_eq!(java.ask("names").await, "svc");
    let [shown_one, shown_two] = ["one", "two"].map(|id| format!("{id}@http://10.0.0.1:8080:eu:3"));
    assert_eq!(
        java.ask("read svc").await,
        format!("{shown_one}:DYNAMIC:true|{shown_two}:STATIC:true")
    );
    java.until("pick svc", "one").await;
    java.until("pick svc", "two").await;

    // Gated: Curator's providers pass over what is not enabled.
    one.set_enabled(false).await.expect("updated");
    let disabled = format!("{shown_one}:DYNAMIC:false|{shown_two}:STATIC:true");
    assert_eq!(java.ask("read svc").await, disabled);
    let both = async {
        loop {
            let picks = [java.ask("pick svc").await, java.ask("pick svc").await];
            if picks == ["two", "two"] {
                return;
            }
        }
    };
    at_most("only the other", both).await;
    one.update(|instance| {
        instance.enabled = true;
        instance.ssl_port = Some(8443);
    })
    .await
    .expect("updated");
    let secure = "one@https://10.0.0.1:8080:eu:3:DYNAMIC:true";
    assert_eq!(java.ask("read svc").await, format!("{secure}|{shown_two}:STATIC:true"));

    two.deregister().await.expect("deregistered");
    assert_eq!(java.ask("read svc").await, secure);
    java.until("pick svc", "one").await;
    zk.close().await.expect("closed");
    java.until("read svc", "").await;
    java.until("pick svc", "").await;
}

/// One id, taken over from each side while the other's session lives on.
async fn an_id_is_taken_over_from_either_side(connect: String) {
    let (zk, discovery) = client(&connect).await;
    let mut java = Curator::start(&connect);
    let provider = discovery.provider("svc").build().expect("a name");
    java.ask("register svc one 1 DYNAMIC us 1").await;
    until(&provider, &["one"]).await;
    let registration = register(&discovery, ours("one")).await;
    let node = zk.get("/discovery/svc/one").await.expect("the node");
    let epoch = zk.epoch().expect("a session");
    assert_eq!(node.stat.ephemeral_owner, epoch.session);
    assert_eq!(java.ask("read svc").await, "one@http://10.0.0.1:8080:eu:3:DYNAMIC:true");
    registration.deregister().await.expect("deregistered");
    until(&provider, &[]).await;
    java.ask("register svc one 2 DYNAMIC us 1").await;
    until(&provider, &["one"]).await;
    assert_eq!(provider.pick().expect("one").port, Some(2));
}

/// A crash of Curator's process is a change like any other.
async fn a_crash_of_curator_is_seen(connect: String) {
    let (_zk, discovery) = client(&connect).await;
    let mut java = Curator::start(&connect);
    let provider = discovery.provider("svc").build().expect("a name");
    java.ask("register svc one 1 DYNAMIC us 1").await;
    until(&provider, &["one"]).await;
    drop(java);
    until(&provider, &[]).await;
}

/// Waits until a provider knows exactly these.
async fn until(provider: &ServiceProvider, ids: &[&str]) {
    let known = async {
        loop {
            let known = provider.instances();
            if known.iter().map(|instance| &*instance.id).eq(ids.iter().copied()) {
                return;
            }
            pause(provider.cache().client()).await;
        }
    };
    at_most("the change", known).await;
}

/// Lets others have their turn.
async fn pause(zk: &Client) {
    // Whatever is answered, time has passed.
    let _ = zk.exists("/").await;
}

macro_rules! on_both_servers {
    ($($name:ident)*) => {
        mod on_apache {
            use super::{Kind, Settings, Subject};

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs a JVM and Curator"]
            async fn $name() {
                let settings = Settings { tick_ms: 500, ..Settings::default() };
                let server = Subject::start(Kind::Apache39, &settings).await;
                super::$name(server.connect_string()).await;
            })*
        }

        mod on_ours {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs a JVM and Curator"]
            async fn $name() {
                let server = super::TestServer::start().await.expect("a server");
                super::$name(server.connect_string()).await;
            })*
        }
    };
}

on_both_servers! {
    curators_instances_are_read
    our_instances_are_read_by_curator
    an_id_is_taken_over_from_either_side
    a_crash_of_curator_is_seen
}
