//! What says who has a lease and until when, as kazoo writes it: pure.
// kazoo: NonBlockingLease

use std::fmt::Write as _;

use serde_json::Value;

/// The only version there is.
const VERSION: u64 = 1;

const DAY_SECS: i64 = 24 * 60 * 60;

/// Days from the first of March of the year 0 to the first of January 1970.
const DAYS_TO_1970: i64 = 719_468;

/// Days of 400 years, after which the calendar repeats itself.
const ERA_DAYS: i64 = 146_097;

/// Who has a lease and until when.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Record {
    pub(super) holder: String,
    /// In whole seconds since 1970.
    pub(super) end: i64,
}

impl Record {
    /// The bytes that Python's `json.dumps` makes of it.
    pub(super) fn to_json(&self) -> String {
        let (holder, end) = (quoted(&self.holder), date(self.end));
        format!("{{\"version\": {VERSION}, \"holder\": {holder}, \"end\": \"{end}\"}}")
    }

    /// `None` for anything else. Fields of other names are passed over.
    pub(super) fn parse(data: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(data).ok()?;
        if value.get("version")?.as_u64()? != VERSION {
            return None;
        }
        let holder = value.get("holder")?.as_str()?.to_owned();
        Some(Self { holder, end: parse_date(value.get("end")?.as_str()?)? })
    }
}

/// A JSON string in ASCII only.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            ' '..='~' => quoted.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
        }
    }
    quoted + "\""
}

/// Seconds since 1970 as a date and a time of day (UTC).
fn date(secs: i64) -> String {
    let (days, secs) = (secs.div_euclid(DAY_SECS), secs.rem_euclid(DAY_SECS));
    // Years that start in March have their leap day at the end.
    let since_era = (days + DAYS_TO_1970).rem_euclid(ERA_DAYS);
    let era = (days + DAYS_TO_1970).div_euclid(ERA_DAYS);
    let year_of_era =
        (since_era - since_era / 1_460 + since_era / 36_524 - since_era / 146_096) / 365;
    let day_of_year = since_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (secs / 3_600, secs / 60 % 60, secs % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

fn parse_date(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let numbers = |text: &str, joint| -> Option<[i64; 3]> {
        let parse = |number: &str| {
            let is_plain = !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit());
            if is_plain { number.parse().ok() } else { None }
        };
        text.split(joint).map(parse).collect::<Option<Vec<_>>>()?.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let is_legal = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        // Python takes a leap second for one.
        && second <= 61;
    if !is_legal {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let since_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * ERA_DAYS + since_era - DAYS_TO_1970;
    Some(days * DAY_SECS + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_what_python_writes() {
        let record = Record { holder: "h".into(), end: 1_700_000_000 };
        let json = r#"{"version": 1, "holder": "h", "end": "2023-11-14T22:13:20"}"#;
        assert_eq!(record.to_json(), json);
        assert_eq!(Record::parse(json.as_bytes()), Some(record));
    }

    #[test]
    fn names_are_written_in_ascii_and_read_again() {
        let record = Record { holder: "\"ü\\\n\u{1F600}\u{7f}".into(), end: 0 };
        let json = record.to_json();
        assert!(json.contains(r#""\"\u00fc\\\n\ud83d\ude00\u007f""#), "{json}");
        assert_eq!(Record::parse(json.as_bytes()), Some(record));
    }

    #[test]
    fn dates_go_both_ways() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (4_107_542_399, "2100-02-28T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
            (-1, "1969-12-31T23:59:59"),
        ] {
            assert_eq!(date(secs), text);
            assert_eq!(parse_date(text), Some(secs), "{text}");
        }
        for day in 0..200_000 {
            let secs = day * DAY_SECS + day % DAY_SECS;
            assert_eq!(parse_date(&date(secs)), Some(secs), "{}", date(secs));
        }
    }

    #[test]
    fn anything_else_is_no_record() {
        for data in [
            "",
            "{}",
            "[1]",
            r#"{"version": 2, "holder": "h", "end": "2023-11-14T22:13:20"}"#,
            r#"{"version": "1", "holder": "h", "end": "2023-11-14T22:13:20"}"#,
            r#"{"version": 1, "holder": 7, "end": "2023-11-14T22:13:20"}"#,
            r#"{"version": 1, "holder": "h", "end": "2023-11-14"}"#,
            r#"{"version": 1, "holder": "h", "end": "2023-13-14T22:13:20"}"#,
            r#"{"version": 1, "holder": "h", "end": "2023-11-14T+2:13:20"}"#,
            r#"{"version": 1, "holder": "h", "end": "2023-11-14T22:13:20:1"}"#,
        ] {
            assert_eq!(Record::parse(data.as_bytes()), None, "{data}");
        }
        let more = r#"{"x": [], "end": "1970-01-01T00:00:07", "holder": "h", "version": 1}"#;
        assert_eq!(Record::parse(more.as_bytes()), Some(Record { holder: "h".into(), end: 7 }));
    }
}
