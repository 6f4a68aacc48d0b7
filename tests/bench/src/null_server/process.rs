//! A server of this program as a process of its own, killed when dropped.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::target::Target;

/// What the server prints before its address.
pub(crate) const GREETING: &str = "listening on ";

/// A running server.
#[derive(Debug)]
pub(crate) struct NullProcess {
    process: Child,
    address: SocketAddr,
}

impl NullProcess {
    /// Starts the do-nothing server.
    ///
    /// # Errors
    /// If it cannot be started or does not say where it listens.
    pub(crate) fn start(value_bytes: usize) -> io::Result<Self> {
        Self::start_as(&["null-server", "--value-bytes", &value_bytes.to_string()])
    }

    /// Starts this very program as any server.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn start_as(arguments: &[&str]) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address = line.trim().strip_prefix(GREETING).and_then(|text| text.parse().ok());
        let Some(address) = address else {
            process.kill().and_then(|()| process.wait()).ok();
            return Err(io::Error::other("the server does not start"));
        };
        Ok(Self { process, address })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn target(&self) -> Target {
        Target::of(self.address)
    }
}

impl Drop for NullProcess {
    fn drop(&mut self) {
        // An error means that it has ended by itself, which is as well.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
