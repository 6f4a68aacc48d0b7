//! The port for learners: open only while the member leads. A learner that comes too early is
//! refused and tries again.
//!
//! It is claimed when the member starts, so that a port that is taken is found there, and kept
//! until the first term. Behind a term nothing is bound until the next one claims it anew.

use std::{cell::RefCell, rc::Rc};

use tokio::{
    net::TcpSocket,
    task::{self, AbortHandle},
    time,
};
use zk_proto::ensemble::HostPort;

use super::member_port::{self, BIND_PAUSE};
use crate::{
    hub::Hub,
    links::{LinkSettings, Port},
    server::StartError,
};

/// The port of one member.
#[derive(Debug)]
pub(crate) struct QuorumPort {
    addresses: Vec<HostPort>,
    /// Bound before anybody may come in, so that a port that is taken is found at the start.
    claimed: Vec<TcpSocket>,
    /// Opens and accepts; `None` while the port is closed.
    serving: Option<AbortHandle>,
}

impl QuorumPort {
    /// Claims the port, which stays closed.
    ///
    /// # Errors
    /// [`StartError::MemberPort`] when it cannot be had after as many tries as the settings say.
    pub(crate) async fn claim(settings: &LinkSettings) -> Result<Self, StartError> {
        let addresses = settings.quorum.clone();
        let claimed = member_port::claim(Port::Quorum, &addresses, settings.bind_tries).await?;
        Ok(Self { addresses, claimed, serving: None })
    }

    /// Lets learners in.
    pub(crate) fn open(&mut self, hub: Rc<RefCell<Hub>>) {
        if self.serving.is_none() {
            let claimed = std::mem::take(&mut self.claimed);
            let serving = serve(hub, self.addresses.clone(), claimed);
            self.serving = Some(task::spawn_local(serving).abort_handle());
        }
    }

    /// Lets nobody in any more. Those who are in stay.
    pub(crate) fn close(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

/// Claims the port unless it is claimed, and accepts.
async fn serve(hub: Rc<RefCell<Hub>>, addresses: Vec<HostPort>, mut claimed: Vec<TcpSocket>) {
    loop {
        if claimed.is_empty() {
            match member_port::claim(Port::Quorum, &addresses, None).await {
                Ok(sockets) => claimed = sockets,
                Err(error) => tracing::error!(%error, "learners cannot come in"),
            }
        }
        match member_port::listen(std::mem::take(&mut claimed)) {
            Ok(listeners) => member_port::accept(Rc::clone(&hub), Port::Quorum, listeners).await,
            Err(error) => tracing::warn!(%error, "the quorum port cannot be opened yet"),
        }
        time::sleep(BIND_PAUSE).await;
    }
}
