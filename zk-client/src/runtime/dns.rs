//! SRV records, and the production way to look them up.

use std::{io, net::SocketAddr, pin::Pin, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::RData,
};

/// One record: where a server is, and how much it is wanted beside the others.
// RFC 2782
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct SrvRecord {
    /// A server is tried when all those of a lower number have failed.
    pub priority: u16,
    /// How many clients it gets, in proportion to the others of its priority.
    pub weight: u16,
    /// The client port.
    pub port: u16,
    /// The host's name, with or without the dot at its end. A dot alone says that there is no
    /// server.
    pub target: String,
}

impl SrvRecord {
    /// One record.
    pub fn new(priority: u16, weight: u16, port: u16, target: impl Into<String>) -> Self {
        Self { priority, weight, port, target: target.into() }
    }
}

/// What is known of a name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SrvAnswer {
    /// The records, in any order.
    pub records: Vec<SrvRecord>,
    /// How long they are valid, by their time to live.
    pub valid: Duration,
}

impl SrvAnswer {
    /// These records, which are valid for so long.
    pub const fn new(records: Vec<SrvRecord>, valid: Duration) -> Self {
        Self { records, valid }
    }
}

/// Looks SRV records up. [`Dns`] does it, unless a client is given something else by
/// [`ClientBuilder::srv_lookup`](crate::ClientBuilder::srv_lookup).
pub trait SrvLookup: Send + Sync + 'static {
    /// The records of a name, as it is written in the connection string.
    ///
    /// # Errors
    /// Any: the client keeps the servers it knows, and asks again.
    ///
    /// # Cancel safety
    /// The future is dropped when it takes longer than fifteen seconds.
    fn look_up(
        &self,
        name: &str,
    ) -> Pin<Box<dyn Future<Output = io::Result<SrvAnswer>> + Send + '_>>;
}

/// Asks the name servers of this machine, or given ones. Keeps no records: how long they are kept
/// is up to the name servers.
///
/// ```no_run
/// use zk_client::{Client, Dns};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let zk = Client::builder("dns-srv://_zookeeper._tcp.example.org/app")
///     .srv_lookup(Dns::at(["192.0.2.53:53".parse()?]))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Dns {
    /// `None` for those of the machine.
    name_servers: Option<Vec<SocketAddr>>,
}

impl Dns {
    /// Asks the machine's name servers (`/etc/resolv.conf`, or the registry on Windows), and tries
    /// its search domains for names that are not absolute. The settings are read for each look-up.
    pub const fn system() -> Self {
        Self { name_servers: None }
    }

    /// Asks these name servers, with names as they are.
    pub fn at(name_servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { name_servers: Some(name_servers.into_iter().collect()) }
    }

    fn resolver(&self) -> io::Result<TokioResolver> {
        let mut builder = match &self.name_servers {
            None => TokioResolver::builder_tokio().map_err(io::Error::other)?,
            Some(name_servers) => {
                let all = name_servers.iter().map(name_server).collect();
                let config = ResolverConfig::from_parts(None, Vec::new(), all);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        builder.build().map_err(io::Error::other)
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

impl SrvLookup for Dns {
    fn look_up(
        &self,
        name: &str,
    ) -> Pin<Box<dyn Future<Output = io::Result<SrvAnswer>> + Send + '_>> {
        let name = name.to_owned();
        Box::pin(async move {
            let found = self.resolver()?.srv_lookup(name).await.map_err(io::Error::other)?;
            let mut answer = SrvAnswer::new(Vec::new(), Duration::MAX);
            // Beside them may be the names that an alias leads over.
            for record in found.answers() {
                answer.valid = answer.valid.min(Duration::from_secs(record.ttl.into()));
                if let RData::SRV(srv) = &record.data {
                    let target = srv.target.to_ascii();
                    let record = SrvRecord::new(srv.priority, srv.weight, srv.port, target);
                    answer.records.push(record);
                }
            }
            Ok(answer)
        })
    }
}
