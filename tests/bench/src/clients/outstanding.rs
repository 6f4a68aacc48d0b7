//! What operations cost that wait for their turn.
//!
//! So many reads are called one after the other before the first is awaited. The session sends a
//! thousand of them; all others wait in their callers' futures. The list of futures is the
//! caller's, and counted.

use std::io;

use zk_client::Client;

use super::goals::{Goal, Goals};
use crate::null_server::NullProcess;
use crate::usage::resident_bytes;

const OPERATIONS: u32 = 1_000_000;
const VALUE_BYTES: usize = 16;

/// Bytes of a read's request without its path: lengths of frame and path, xid, opcode, watch.
const REQUEST_BYTES: usize = 17;

/// Calls made and awaited before memory is counted.
const WARM_UP: u32 = 10_000;

pub(super) async fn measure(percent: u32, goals: &mut Goals) -> io::Result<()> {
    let server = NullProcess::start(VALUE_BYTES)?;
    let builder = Client::builder(server.address().to_string());
    // A deadline that passes on a slow machine would end what is to be counted.
    let builder = builder.operation_timeout(std::time::Duration::from_secs(600));
    let zk = builder.connect().await.map_err(io::Error::other)?;
    let count = OPERATIONS / 100 * percent;
    outstanding(&zk, WARM_UP.min(count)).await?;
    let bytes = outstanding(&zk, count).await?;
    goals.add(
        format!("memory of each of {count} outstanding operations"),
        "B",
        bytes,
        Goal::AtMost(200.0),
    );
    Ok(())
}

/// The memory of each of so many reads beyond the bytes of its request.
async fn outstanding(zk: &Client, count: u32) -> io::Result<Option<f64>> {
    let process = [std::process::id()];
    let before = resident_bytes(&process);
    let mut reads = Vec::with_capacity(count as usize);
    let mut request_bytes = 0;
    for number in 0..count {
        let path = format!("/bench/{number:07}");
        request_bytes += REQUEST_BYTES + path.len();
        reads.push(zk.get(&path));
    }
    let after = resident_bytes(&process);
    for read in reads {
        let node = read.await.map_err(io::Error::other)?;
        if node.data.len() != VALUE_BYTES {
            return Err(io::Error::other("an answer is another's"));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "memory has fewer than 2^52 bytes")]
    let each = |bytes: u64| (bytes as f64 - request_bytes as f64) / f64::from(count);
    Ok(before.zip(after).map(|(before, after)| each(after.saturating_sub(before))))
}
