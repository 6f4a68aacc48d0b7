//! Apache's server as its image runs it.
//!
//! `ZK_APACHE_IMAGE` names another image than `zookeeper:3.9`. Where there is no registry to take
//! one from, `.ci/images` builds one of that name from installed packages.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use testcontainers::{
    ContainerAsync, GenericImage, ImageExt as _,
    bollard::models::{HostConfig, PortBinding},
    runners::AsyncRunner as _,
};
use zk_tests::{
    patience::until,
    subject::{Settings, word_of},
};

/// The image, when no other is named.
const IMAGE: &str = "zookeeper:3.9";

/// Where clients find the server, inside.
const CLIENT_PORT: u16 = 2181;

/// How long it may take to serve; a Java machine in a fresh container is slow.
const START_SECS_MAX: u64 = 240;

/// A server in a container, which goes with the handle, and where clients on this machine find it.
pub(crate) async fn apache(settings: &Settings) -> (ContainerAsync<GenericImage>, SocketAddr) {
    let image = std::env::var("ZK_APACHE_IMAGE").unwrap_or_else(|_| IMAGE.to_owned());
    let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
    let request = GenericImage::new(name, tag)
        .with_copy_to("/conf/zoo.cfg", configuration(settings).into_bytes())
        .with_env_var("JDK_JAVA_OPTIONS", options(settings))
        .with_host_config_modifier(on_loopback);
    let container = request.start().await.unwrap_or_else(|error| {
        panic!("{image} does not start; run .ci/images if there is none: {error}")
    });
    let port = container.get_host_port_ipv4(CLIENT_PORT).await.expect("the port is published");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    until("a server that serves", Duration::from_secs(START_SECS_MAX), || async move {
        word_of(address, "srvr").await?.contains("Mode: standalone").then_some(())
    })
    .await;
    (container, address)
}

/// Publishes the client port on this machine's own address only, as any free port.
fn on_loopback(host: &mut HostConfig) {
    let binding = PortBinding { host_ip: Some("127.0.0.1".into()), host_port: Some(String::new()) };
    host.publish_all_ports = Some(false);
    let port = format!("{CLIENT_PORT}/tcp");
    host.port_bindings = Some(HashMap::from([(port, Some(vec![binding]))]));
}

fn configuration(settings: &Settings) -> String {
    let fixed = format!(
        "dataDir=/data\nclientPort={CLIENT_PORT}\ntickTime={}\nadmin.enableServer=false\n\
         4lw.commands.whitelist=*\nextendedTypesEnabled=true\n",
        settings.tick_ms
    );
    let keys = settings.keys.iter().map(|(key, value)| format!("{key}={value}\n"));
    std::iter::once(fixed).chain(keys).collect()
}

fn options(settings: &Settings) -> String {
    let own = std::iter::once("-Dfile.encoding=UTF-8".to_owned());
    let properties = settings.properties.iter().map(|(key, value)| format!("-D{key}={value}"));
    own.chain(properties).collect::<Vec<_>>().join(" ")
}
