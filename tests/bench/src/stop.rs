//! Ctrl-C: remembered by a signal handler, noticed by every loop, so that
//! servers started by this program are stopped on the way out.

use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static IS_WANTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Installs the handlers of SIGINT and SIGTERM.
///
/// # Errors
/// If the system refuses.
pub(crate) fn install() -> io::Result<()> {
    let wanted = Arc::clone(IS_WANTED.get_or_init(Arc::default));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&wanted))?;
    signal_hook::flag::register(signal_hook::consts::SIGTERM, wanted)?;
    Ok(())
}

/// Ends whatever is under way, if the user asked for it.
///
/// # Errors
/// `Interrupted`-like, once a signal has come.
pub(crate) fn check() -> io::Result<()> {
    let is_wanted = IS_WANTED.get().is_some_and(|wanted| wanted.load(Ordering::Relaxed));
    if is_wanted { Err(io::Error::other("stopped by the user")) } else { Ok(()) }
}
