//! The port for votes: open as long as the member runs.

use std::{cell::RefCell, rc::Rc};

use tokio::{
    net::TcpListener,
    task::{self, AbortHandle},
};

use super::member_port;
use crate::{
    hub::Hub,
    links::{LinkSettings, Port},
    server::StartError,
};

/// Opens the port.
///
/// # Errors
/// [`StartError::MemberPort`] when it cannot be had after as many tries as the settings say.
pub(crate) async fn open(settings: &LinkSettings) -> Result<Vec<TcpListener>, StartError> {
    let claimed =
        member_port::claim(Port::Election, &settings.election, settings.bind_tries).await?;
    let addresses: Vec<String> = settings.election.iter().map(ToString::to_string).collect();
    member_port::listen(claimed).map_err(|error| {
        let what = Port::Election.what();
        StartError::MemberPort { what, address: addresses.join(", "), error }
    })
}

/// Accepts until the task is aborted.
pub(crate) fn serve(hub: &Rc<RefCell<Hub>>, listeners: Vec<TcpListener>) -> AbortHandle {
    let accepting = member_port::accept(Rc::clone(hub), Port::Election, listeners);
    task::spawn_local(accepting).abort_handle()
}
