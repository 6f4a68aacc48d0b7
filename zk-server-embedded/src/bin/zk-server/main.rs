//! A `ZooKeeper` server by itself.

mod arguments;
mod health;

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};
use tracing::level_filters::LevelFilter;
use zk_server_embedded::{Server, ServerBuilder, StartError, StopReason};

use self::arguments::{Arguments, Invocation};

/// The server stopped because it was asked to.
const EXIT_ASKED: u8 = 0;
/// Something unexpected: no thread, no signals, an address that is taken.
const EXIT_UNEXPECTED: u8 = 1;
/// The invocation or the configuration is wrong.
const EXIT_INVOCATION: u8 = 2;
/// The data directory cannot be used.
const EXIT_DATA: u8 = 3;
/// Writing to stable storage failed.
const EXIT_STORAGE: u8 = 10;
/// What is kept here is not what the leader has, not even after it was taken from it anew.
const EXIT_DIVERGED: u8 = 11;
/// The ensemble has other voters than the configuration that we were started with.
const EXIT_RECONFIGURED: u8 = 12;

fn main() -> ExitCode {
    ExitCode::from(match arguments::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Help) => print(arguments::HELP),
        Ok(Invocation::Version) => print(concat!("zk-server ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Invocation::Health(address)) => ask(&address),
        Ok(Invocation::Serve(arguments)) => serve(&arguments),
        Err(problem) => {
            say(&format!("zk-server: {problem}\nTry `zk-server --help`.\n"));
            EXIT_INVOCATION
        }
    })
}

fn ask(address: &str) -> u8 {
    match health::ask(address) {
        Ok(mode) => print(&format!("{mode}\n")),
        Err(problem) => {
            say(&format!("zk-server: {problem}\n"));
            EXIT_UNEXPECTED
        }
    }
}

fn serve(arguments: &Arguments) -> u8 {
    log_from(arguments.level);
    let builder = match described(arguments) {
        Ok(builder) => builder,
        Err(problem) => {
            say(&format!("zk-server: {problem}\n"));
            return EXIT_INVOCATION;
        }
    };
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("zk-server: no event queue: {error}\n"));
            return EXIT_UNEXPECTED;
        }
    };
    runtime.block_on(run(builder))
}

fn described(arguments: &Arguments) -> Result<ServerBuilder, String> {
    let file = arguments.config()?;
    for warning in &file.warnings {
        tracing::warn!("{warning}");
    }
    let builder = ServerBuilder::from_config_file(&file).map_err(|error| error.to_string())?;
    Ok(if arguments.in_memory { builder.in_memory() } else { builder })
}

async fn run(builder: ServerBuilder) -> u8 {
    let signals = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            say(&format!("zk-server: cannot listen to signals: {error}\n"));
            return EXIT_UNEXPECTED;
        }
    };
    let mut server = match builder.start().await {
        Ok(server) => server,
        Err(error) => {
            say(&format!("zk-server: {error}\n"));
            return exit_code_of(&error);
        }
    };
    // The one line on standard output, for whoever started us with port 0.
    print(&format!("listening on {}\n", server.local_addr()));
    tracing::info!(address = %server.local_addr(), "serving");
    let reason = tokio::select! {
        biased;
        reason = server.stopped() => reason,
        _ = terminate.recv() => stop(server, "SIGTERM").await,
        _ = interrupt.recv() => stop(server, "SIGINT").await,
    };
    match reason {
        StopReason::Asked => EXIT_ASKED,
        StopReason::StorageFailed => EXIT_STORAGE,
        StopReason::Diverged => {
            say("zk-server: the tree differs from the leader's after a full resync too\n");
            EXIT_DIVERGED
        }
        StopReason::Reconfigured => {
            say("zk-server: the ensemble has other voters than this server's configuration: \
                 give it the one that the others have\n");
            EXIT_RECONFIGURED
        }
        StopReason::Crashed | _ => EXIT_UNEXPECTED,
    }
}

async fn stop(server: Server, signal: &str) -> StopReason {
    tracing::info!(signal, "stopping");
    let reason = server.shutdown().await;
    tracing::info!("stopped");
    reason
}

fn exit_code_of(error: &StartError) -> u8 {
    match error {
        StartError::Data(_) => EXIT_DATA,
        StartError::Settings(_) => EXIT_INVOCATION,
        StartError::Listen { .. } | StartError::MemberPort { .. } | StartError::Thread(_) | _ => {
            EXIT_UNEXPECTED
        }
    }
}

fn log_from(level: LevelFilter) {
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// Writes to standard output. Nobody listening there is no reason not to serve.
fn print(text: &str) -> u8 {
    let mut out = io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    EXIT_ASKED
}

/// Writes to standard error.
fn say(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}
