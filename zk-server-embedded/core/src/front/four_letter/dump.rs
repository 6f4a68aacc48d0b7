//! The word `dump`, and the two that list watches.

use alloc::{collections::BTreeMap, vec::Vec};
use core::fmt::{self, Write as _};

use zk_proto::{SessionId, WallMillis};

use super::{SessionView, View, connections::Remote, text::Text};

/// Sessions and connections by the moment they run out, and the nodes that go with the sessions.
// ZooKeeper: LeaderSessionTracker, LearnerSessionTracker, ExpiryQueue.dump,
// DataTree.dumpEphemerals, NIOServerCnxnFactory.dumpConnections
pub(super) fn dump(view: &View<'_>, text: &mut Text) -> fmt::Result {
    writeln!(text, "SessionTracker dump:")?;
    let member = view.config.member.as_ref();
    let has_local = member.is_some_and(|member| member.local_sessions.is_on());
    if has_local {
        write!(text, "Local ")?;
        sets(view.sessions.iter().filter(|session| session.is_local), text)?;
        write!(text, "Global ")?;
    } else if view.is_learner() {
        write!(text, "Global ")?;
    }
    let global = || view.sessions.iter().filter(|session| !session.is_local);
    if view.is_learner() {
        writeln!(text, "Sessions({}):", global().count())?;
        for session in global() {
            writeln!(text, "{}\t{}ms", session.session, session.timeout_ms)?;
        }
    } else {
        sets(global(), text)?;
    }
    writeln!(text, "ephemeral nodes dump:")?;
    let owners = || view.sessions.iter().filter(|session| !session.ephemerals.is_empty());
    writeln!(text, "Sessions with Ephemerals ({}):", owners().count())?;
    for owner in owners() {
        writeln!(text, "{}:", owner.session)?;
        for path in &owner.ephemerals {
            writeln!(text, "\t{path}")?;
        }
    }
    writeln!(text, "Connections dump:")?;
    let connections = by_expiry(view.connections.iter().map(|each| (each.expires, each)));
    writeln!(text, "Connections Sets ({})/({}):", connections.len(), view.connections.len())?;
    for (expires, connections) in &connections {
        writeln!(text, "{} expire at {}:", connections.len(), JavaDate(*expires))?;
        for connection in connections {
            let session = connection.session.map_or(SessionId::NONE, |part| part.session);
            writeln!(text, "\tip: {} sessionId: {session}", Remote(connection.remote))?;
        }
    }
    Ok(())
}

/// Sessions that are ours to end, by the moment they run out.
fn sets<'a>(sessions: impl Iterator<Item = &'a SessionView>, text: &mut Text) -> fmt::Result {
    let sessions = by_expiry(sessions.map(|session| (session.expires, session)));
    let count: usize = sessions.values().map(Vec::len).sum();
    writeln!(text, "Session Sets ({})/({count}):", sessions.len())?;
    for (expires, sessions) in &sessions {
        writeln!(text, "{} expire at {}:", sessions.len(), JavaDate(*expires))?;
        for session in sessions {
            writeln!(text, "\t{}", session.session)?;
        }
    }
    Ok(())
}

pub(super) fn watches_by_path(view: &View<'_>, text: &mut Text) -> fmt::Result {
    for (path, sessions) in &view.watches {
        writeln!(text, "{}", OneLine(path))?;
        for session in sessions {
            writeln!(text, "\t{session}")?;
        }
    }
    writeln!(text)
}

pub(super) fn watches_by_session(view: &View<'_>, text: &mut Text) -> fmt::Result {
    let mut paths_of: BTreeMap<SessionId, Vec<&str>> = BTreeMap::new();
    for (path, sessions) in &view.watches {
        for session in sessions {
            paths_of.entry(*session).or_default().push(path);
        }
    }
    for (session, paths) in paths_of {
        writeln!(text, "{session}")?;
        for path in paths {
            writeln!(text, "\t{}", OneLine(path))?;
        }
    }
    writeln!(text)
}

fn by_expiry<T>(items: impl Iterator<Item = (WallMillis, T)>) -> BTreeMap<WallMillis, Vec<T>> {
    let mut buckets: BTreeMap<WallMillis, Vec<T>> = BTreeMap::new();
    for (expires, item) in items {
        buckets.entry(expires).or_default().push(item);
    }
    buckets
}

/// What a client watches, on one line: reads may name, and so watch, what no path may hold.
// reliability.md M54
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(char::is_control) {
            let control = part.chars().next_back().filter(|letter| letter.is_control());
            f.write_str(part.strip_suffix(char::is_control).unwrap_or(part))?;
            control.map_or(Ok(()), |control| write!(f, "{}", control.escape_debug()))?;
        }
        Ok(())
    }
}

/// A moment as Java's `Date.toString` shows it in UTC: `Sat Nov 21 11:14:25 UTC 2026`.
#[derive(Clone, Copy, Debug)]
struct JavaDate(WallMillis);

impl fmt::Display for JavaDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
        let seconds = self.0.get().div_euclid(1_000);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // The calendar repeats every 400 years; a year that starts in March ends with the leap day.
        let since_march = days + 719_468;
        let (era, day) = (since_march.div_euclid(146_097), since_march.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
        let year = era * 400 + year + i64::from(month >= 10);
        let pick = |names: &[&'static str], index: i64| {
            usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or("")
        };
        write!(f, "{} {} ", pick(&DAYS, days.rem_euclid(7)), pick(&MONTHS, month))?;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{day_of_month:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn dates_are_printed_as_java_prints_them() {
        let shown = |millis| format!("{}", JavaDate(WallMillis::new(millis)));
        assert_eq!(shown(0), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(shown(951_782_400_000), "Tue Feb 29 00:00:00 UTC 2000");
        assert_eq!(shown(1_795_259_665_123), "Sat Nov 21 11:14:25 UTC 2026");
        assert_eq!(shown(-1), "Wed Dec 31 23:59:59 UTC 1969");
        assert_eq!(shown(4_107_542_399_000), "Sun Feb 28 23:59:59 UTC 2100");
    }
}
