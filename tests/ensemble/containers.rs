//! Members in containers on a network of their own, which members are taken off and put back on.
//!
//! `ZK_SERVER_IMAGE` names another image than the one that `.ci/images` builds. Nothing is
//! published: this machine reaches containers at the addresses they have on their network.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use testcontainers::{
    ContainerAsync, GenericImage, ImageExt as _,
    bollard::{
        Docker,
        models::{HealthStatusEnum, NetworkConnectRequest, NetworkDisconnectRequest},
    },
    runners::AsyncRunner as _,
};
use zk_tests::{
    patience::{at_most, until},
    subject::word_of,
};

use crate::{MOUNTS, client_of, load::Load};

/// The image, when no other is named.
const IMAGE: &str = "zk-server:local";

/// Where clients find a member.
const CLIENT_PORT: u16 = 2181;

/// How long members may take to agree on a leader, or a container on its health.
const PATIENCE: Duration = Duration::from_secs(240);

/// Writes acknowledged under each fault before the next.
const WRITES: u64 = 50;

static NETWORKS: AtomicUsize = AtomicUsize::new(0);

/// Three members, each in a container that goes with the handle, and their network with the last.
struct Members {
    docker: Docker,
    network: String,
    containers: Vec<ContainerAsync<GenericImage>>,
}

impl Members {
    async fn start() -> Self {
        let docker = Docker::connect_with_local_defaults().expect("a Docker engine");
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let network = format!("zk-tests-{}-{number}", std::process::id());
        let name = |id: usize| format!("{network}-{id}");
        let mut file = "dataDir=/data\ntickTime=500\ninitLimit=40\nsyncLimit=10\n\
                        quorumListenOnAllIPs=true\n4lw.commands.whitelist=*\n"
            .to_owned();
        for id in 1..=3 {
            writeln!(file, "server.{id}={}:2888:3888;{CLIENT_PORT}", name(id))
                .expect("a string takes everything");
        }
        let image = std::env::var("ZK_SERVER_IMAGE").unwrap_or_else(|_| IMAGE.to_owned());
        let (of, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
        let mut containers = Vec::new();
        for id in 1..=3 {
            let request = GenericImage::new(of, tag)
                .with_network(&network)
                .with_container_name(name(id))
                .with_copy_to("/conf/zoo.cfg", file.clone().into_bytes())
                .with_copy_to("/data/myid", id.to_string().into_bytes())
                .with_cmd(["/conf/zoo.cfg"]);
            containers.push(request.start().await.unwrap_or_else(|error| {
                panic!("{image} does not start; run .ci/images if there is none: {error}")
            }));
        }
        Self { docker, network, containers }
    }

    /// Where clients find a member, unless it is off the network or not running.
    async fn address(&self, index: usize) -> Option<SocketAddr> {
        let shown = self.docker.inspect_container(self.containers[index].id(), None).await;
        let networks = shown.ok()?.network_settings?.networks?;
        let address = networks.get(&self.network)?.ip_address.clone()?;
        Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, CLIENT_PORT))
    }

    async fn connect_string(&self) -> String {
        let mut addresses = Vec::new();
        for index in 0..self.containers.len() {
            addresses.push(self.address(index).await.expect("on the network").to_string());
        }
        addresses.join(",")
    }

    /// Waits until one leads and so many follow; says which leads.
    async fn settled(&self, followers: usize) -> usize {
        until("a leader and its followers", PATIENCE, || async {
            let (mut leader, mut following) = (None, 0);
            for index in 0..self.containers.len() {
                let Some(address) = self.address(index).await else { continue };
                let answer = word_of(address, "srvr").await.unwrap_or_default();
                if answer.contains("Mode: leader") {
                    leader = Some(index);
                } else if answer.contains("Mode: follower") {
                    following += 1;
                }
            }
            leader.filter(|_| following >= followers)
        })
        .await
    }

    /// Takes a member off the network: no other member and no client reaches it.
    async fn cut_off(&self, index: usize) {
        let container = self.containers[index].id().to_owned();
        let request = NetworkDisconnectRequest { container, force: None };
        let cut = self.docker.disconnect_network(&self.network, request).await;
        cut.expect("it was on the network");
    }

    /// Puts it back. It may have another address from then on, by the same name.
    async fn join(&self, index: usize) {
        let container = self.containers[index].id().to_owned();
        let request = NetworkConnectRequest { container, endpoint_config: None };
        let joined = self.docker.connect_network(&self.network, request).await;
        joined.expect("it was off the network");
    }

    async fn kill(&self, index: usize) {
        let killed = self.docker.kill_container(self.containers[index].id(), None).await;
        killed.expect("it was running");
    }

    async fn run_again(&self, index: usize) {
        let started = self.docker.start_container(self.containers[index].id(), None).await;
        started.expect("it was not running");
    }

    async fn health(&self, index: usize) -> Option<HealthStatusEnum> {
        let shown = self.docker.inspect_container(self.containers[index].id(), None).await;
        shown.ok()?.state?.health?.status
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker and our image: .ci/images"]
async fn f20_members_in_containers_lose_the_network_and_die_and_nothing_acknowledged_is_lost() {
    let _alone = MOUNTS.write().await;
    let members = Members::start().await;
    let leader = members.settled(2).await;
    let load = Load::start_at(&members.connect_string().await).await;
    load.until_more(WRITES).await;

    let follower = (leader + 1) % 3;
    members.cut_off(follower).await;
    load.until_more(WRITES).await;
    members.join(follower).await;
    members.settled(2).await;

    members.cut_off(leader).await;
    let second = members.settled(1).await;
    assert_ne!(second, leader, "who is off the network does not lead");
    load.until_more(WRITES).await;
    members.join(leader).await;
    assert_eq!(members.settled(2).await, second, "who comes back follows");
    load.until_more(WRITES).await;

    members.kill(second).await;
    let third = members.settled(1).await;
    assert_ne!(third, second);
    load.until_more(WRITES).await;
    members.run_again(second).await;
    members.settled(2).await;

    let outcome = load.stop().await;
    for index in 0..3 {
        let address = members.address(index).await.expect("on the network");
        let zk = client_of(address.to_string()).await;
        at_most("the newest", zk.sync("/")).await.expect("synced");
        let names = zk.children("/").await.expect("the root").names;
        outcome.check_paths(&names.iter().map(|name| format!("/{name}")).collect());
        until("health as the image's own check sees it", PATIENCE, || async {
            (members.health(index).await? == HealthStatusEnum::HEALTHY).then_some(())
        })
        .await;
    }
}
