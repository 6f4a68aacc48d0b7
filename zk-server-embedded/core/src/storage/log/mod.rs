//! The transaction log: a sequence of files, each named by its first transaction.

mod batch;
pub mod format;
mod read;
mod scan;
mod truncate;
mod writer;

pub use batch::{Batch, BatchBuilder};
pub use read::LogRead;
pub use scan::{Broken, Head, LogScan, Next};
pub use truncate::{TruncateError, truncate};
pub use writer::{LogWriter, Preallocation};
