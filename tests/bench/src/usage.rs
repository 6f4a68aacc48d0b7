//! Processor time and memory of processes, read from `/proc`.
//!
//! A process that is not there, or a system without `/proc`, gives no figure;
//! a report then leaves the column empty instead of inventing one.

use std::fs;
use std::time::{Duration, Instant};

/// Length of the tick that `/proc` counts in. Linux shows 100 a second to
/// programs on every architecture, whatever the kernel's own tick.
const TICK: Duration = Duration::from_millis(10);

/// Processor time used so far by the servers, by this process, and by everybody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    at: Instant,
    servers: Option<Duration>,
    own: Option<Duration>,
    machine: Option<Duration>,
}

/// What happened between two samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) elapsed: Duration,
    /// Processor time of all servers together.
    pub(crate) servers: Option<Duration>,
    /// Processor time of this process.
    pub(crate) own: Option<Duration>,
    /// Cores that were busy with something else.
    pub(crate) foreign_cores: Option<f64>,
}

impl Sample {
    pub(crate) fn take(server_pids: &[u32]) -> Self {
        let servers = if server_pids.is_empty() {
            None
        } else {
            server_pids.iter().map(|pid| processor_time(&pid.to_string())).sum()
        };
        Self {
            at: Instant::now(),
            servers,
            own: processor_time("self"),
            machine: fs::read_to_string("/proc/stat").ok().and_then(|stat| machine_time(&stat)),
        }
    }

    /// What was spent since `self` was taken.
    pub(crate) fn until(&self, later: &Self) -> Spent {
        let elapsed = later.at - self.at;
        let servers = between(self.servers, later.servers);
        let own = between(self.own, later.own);
        let foreign_cores = between(self.machine, later.machine).map(|machine| {
            let accounted = servers.unwrap_or_default() + own.unwrap_or_default();
            machine.saturating_sub(accounted).as_secs_f64() / elapsed.as_secs_f64().max(1e-9)
        });
        Spent { elapsed, servers, own, foreign_cores }
    }
}

/// Resident memory of all these processes together, in bytes.
pub(crate) fn resident_bytes(pids: &[u32]) -> Option<u64> {
    if pids.is_empty() {
        return None;
    }
    pids.iter()
        .map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok())
        .map(|status| resident_of(&status?))
        .sum()
}

/// The machine's load average over one minute, noted beside scenario figures.
pub(crate) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn between(before: Option<Duration>, after: Option<Duration>) -> Option<Duration> {
    Some(after?.saturating_sub(before?))
}

fn processor_time(pid: &str) -> Option<Duration> {
    process_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The sum of `utime` and `stime`; the name before them may hold spaces and brackets.
fn process_time(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * user + TICK * system)
}

/// All time that was not idle: user, nice, system, irq, softirq, steal.
fn machine_time(stat: &str) -> Option<Duration> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|&place| fields.get(place)).sum();
    Some(TICK.mul_f64(f64::from(u32::try_from(busy).ok()?)))
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_an_odd_name_is_read_rightly() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 1 0 5 0 0";

        assert_eq!(process_time(stat), Some(Duration::from_secs(2)));
    }

    #[test]
    fn waiting_is_not_work() {
        let stat = "cpu  100 0 50 9000 800 10 20 20 0 0\ncpu0 1 2 3";

        assert_eq!(machine_time(stat), Some(Duration::from_secs(2)));
    }

    #[test]
    fn resident_memory_is_told_in_bytes() {
        assert_eq!(resident_of("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(resident_of("Name:\tx\n"), None);
    }

    #[test]
    fn a_server_that_is_gone_gives_no_figure() {
        let before = Sample::take(&[u32::MAX]);
        let after = Sample::take(&[u32::MAX]);

        assert!(before.until(&after).servers.is_none());
        assert_eq!(resident_bytes(&[u32::MAX]), None);
    }
}
