//! One member's place in the ensemble, whether it runs or not.

use std::{fs, path::PathBuf, sync::mpsc};

use super::builder::Ports;
use crate::{
    builder::ServerBuilder,
    disk::MemoryFiles,
    member::{Door, Starting},
    server::{Server, StartError, Stopped},
    storage::Place,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Seat {
    builder: ServerBuilder,
    home: Home,
    pub(super) ports: Ports,
    pub(super) server: Option<Server>,
    /// Dropping this lets a paused member run again.
    pub(super) pause: Option<mpsc::Sender<()>>,
}

/// Where a member keeps its data.
#[derive(Debug)]
pub(super) enum Home {
    Memory(MemoryFiles),
    Directory(PathBuf),
}

impl Seat {
    pub(super) const fn new(builder: ServerBuilder, home: Home, ports: Ports) -> Self {
        Self { builder, home, ports, server: None, pause: None }
    }

    /// Launches the member.
    pub(super) fn launch(&self) -> Result<Starting, StartError> {
        let door = Door::Address(self.ports.client);
        match &self.home {
            Home::Memory(files) => {
                self.builder.clone().launch_on(door, Place::Files(files.clone()))
            }
            Home::Directory(directory) => {
                let cannot = |error: std::io::Error| {
                    StartError::Data(format!("{}: {error}", directory.display()))
                };
                fs::create_dir_all(directory).map_err(cannot)?;
                let number = directory.file_name().unwrap_or_default();
                fs::write(directory.join("myid"), number.as_encoded_bytes()).map_err(cannot)?;
                self.builder.clone().data_dir(directory).launch(door)
            }
        }
    }

    /// The member, if it runs.
    pub(super) fn running(&self) -> Result<&Server, Stopped> {
        self.server.as_ref().ok_or(Stopped)
    }

    /// Lets it run again, if it is paused.
    pub(super) fn resume(&mut self) {
        self.pause = None;
    }

    /// Kills the member; what it had not on stable storage is lost.
    pub(super) async fn kill(&mut self) {
        self.resume();
        if let Some(server) = self.server.take() {
            server.kill().await;
        }
        if let Home::Memory(files) = &self.home {
            files.crash();
        }
    }

    /// Stops the member in good order.
    pub(super) async fn stop(&mut self) {
        self.resume();
        if let Some(server) = self.server.take() {
            server.shutdown().await;
        }
    }
}
