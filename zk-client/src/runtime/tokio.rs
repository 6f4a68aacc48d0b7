//! The production runtime.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    net::{TcpStream, lookup_host},
    runtime::Handle,
    time::{Instant as TokioInstant, sleep_until},
};
use zk_proto::Instant;

use super::{Connection, Runtime};

/// Lives on the tokio runtime it was made on.
#[derive(Debug)]
pub struct TokioRuntime {
    handle: Handle,
    origin: TokioInstant,
    random: AtomicU64,
}

impl TokioRuntime {
    /// Uses the runtime of the caller.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn current() -> Self {
        Self::new(Handle::current())
    }

    /// Uses a given runtime, which must have its network and time drivers enabled.
    pub fn new(handle: Handle) -> Self {
        // The standard library's hash keys are the one source of randomness that needs no crate.
        let seed = RandomState::new().build_hasher().finish();
        let origin = {
            let _entered = handle.enter();
            TokioInstant::now()
        };
        Self { handle, origin, random: AtomicU64::new(seed) }
    }
}

impl Runtime for TokioRuntime {
    fn now(&self) -> Instant {
        let nanos = TokioInstant::now().saturating_duration_since(self.origin).as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let _entered = self.handle.enter();
        // Far beyond any timer, near enough for the clock's arithmetic.
        let after = at.since(Instant::ORIGIN).min(Duration::from_secs(30 * 365 * 86_400));
        Box::pin(sleep_until(self.origin + after))
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.handle.spawn(task);
    }

    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        let host = host.to_owned();
        Box::pin(async move { Ok(lookup_host((host, port)).await?.collect()) })
    }

    fn connect(
        &self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let connection: Box<dyn Connection> = Box::new(stream);
            Ok(connection)
        })
    }

    fn random(&self) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.random.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
