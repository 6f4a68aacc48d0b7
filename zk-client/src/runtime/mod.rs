//! Everything the client wants from the world, so that a simulation can be the world.
//!
//! Seven functions are enough: two clocks, one way to wait, one way to run something beside the
//! caller, two steps to a connection, and a source of randomness. No other file of this crate
//! reaches for a clock, a timer, a task or a random number.

#[cfg(feature = "blocking")]
mod blocking;
#[cfg(feature = "dns-srv")]
mod dns;
mod tokio;

use std::{io, net::SocketAddr, pin::Pin, time::SystemTime};

use ::tokio::io::{AsyncRead, AsyncWrite};
use zk_proto::Instant;

#[cfg(feature = "blocking")]
pub use self::blocking::{BlockingClient, BlockingError};
#[cfg(feature = "dns-srv")]
pub use self::dns::{Dns, SrvAnswer, SrvLookup, SrvRecord};
pub use self::tokio::TokioRuntime;

/// The world a client lives in.
pub trait Runtime: Send + Sync + 'static {
    /// The moment on a monotonic clock whose origin is the runtime's choice.
    fn now(&self) -> Instant;

    /// The time of day, for layouts that write it down for other machines. It may jump. Nothing
    /// that must hold is measured by it.
    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Waits until a moment of the monotonic clock.
    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Runs a task beside the caller.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);

    /// The addresses behind a name, asked for at every attempt to connect.
    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

    /// Connects to an address.
    #[expect(clippy::type_complexity, reason = "a boxed future of a boxed connection, used once")]
    fn connect(
        &self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send>>;

    /// A random number, for jitter and for spreading over servers. Not for secrets.
    fn random(&self) -> u64;
}

/// A connected stream of bytes.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}
