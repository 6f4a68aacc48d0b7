//! The transaction log: a sequence of files, each named by its first transaction.

pub mod format;
mod scan;
mod truncate;
mod writer;

pub use scan::{Broken, Head, LogScan, Next};
pub use truncate::{TruncateError, truncate};
pub use writer::{LogWriter, Preallocation};
