//! A clock that goes on by hand.

use std::{io, net::SocketAddr, pin::Pin, time::Duration};

use tokio::sync::watch;
use zk_client::{Connection, Instant, Runtime, TokioRuntime};

/// The real world, in which no time passes but what the test says: a client on it sends no pings
/// and gives up nothing, however long the machine stands still.
#[derive(Debug)]
pub struct Stepped {
    world: TokioRuntime,
    now: watch::Sender<Instant>,
}

impl Stepped {
    /// The world of the runtime around, at this moment.
    pub fn here() -> Self {
        let world = TokioRuntime::current();
        let now = watch::Sender::new(world.now());
        Self { world, now }
    }

    /// Lets time pass.
    pub fn step(&self, by: Duration) {
        self.now.send_modify(|now| *now = *now + by);
    }
}

impl Runtime for Stepped {
    fn now(&self) -> Instant {
        *self.now.borrow()
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut now = self.now.subscribe();
        Box::pin(async move {
            if now.wait_for(|now| *now >= at).await.is_err() {
                // The clock is gone: no time passes any more.
                std::future::pending::<()>().await;
            }
        })
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.world.spawn(task);
    }

    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        self.world.resolve(host, port)
    }

    fn connect(
        &self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send>> {
        self.world.connect(address)
    }

    fn random(&self) -> u64 {
        self.world.random()
    }
}
