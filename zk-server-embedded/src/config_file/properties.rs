//! The syntax of configuration files: Java properties.

use std::fmt;

/// One key with its value and where it stands.
#[derive(Clone, Eq, PartialEq)]
pub struct Setting {
    /// The key, without white space around it.
    pub key: String,
    /// The value, without white space around it.
    pub value: String,
    /// Where it was found: `line 3`, `--set`.
    pub place: String,
}

/// Leaves out values that only some may know.
impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_secret = SECRETS.iter().any(|secret| self.key.contains(secret));
        let value = if is_secret { "…" } else { &self.value };
        f.debug_struct("Setting")
            .field("key", &self.key)
            .field("value", &value)
            .field("place", &self.place)
            .finish()
    }
}

/// What keys with such values have in their names.
const SECRETS: [&str; 3] = ["superDigest", "assword", "superUser"];

/// Reads settings in their order. Any text is legal: what is no key simply sets nothing of use.
// java.util.Properties.load
pub(super) fn parse(text: &str) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while ends_in_the_middle(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else {
                break;
            };
            logical.push_str(next.trim_start());
        }
        let (key, value) = split(&logical);
        let place = format!("line {}", index + 1);
        let unescaped = |text: &str| unescape(text).trim().to_owned();
        settings.push(Setting { key: unescaped(key), value: unescaped(value), place });
    }
    settings
}

/// Whether a line ends in a backslash that is not itself escaped.
fn ends_in_the_middle(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// The key ends at the first `=`, `:` or white space that no backslash stands before; of several
/// separators one `=` or `:` counts.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line.find(|letter: char| {
        let ends = !is_escaped && (letter == '=' || letter == ':' || letter.is_whitespace());
        is_escaped = !is_escaped && letter == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start();
    (key, rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start())
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let code: String = letters.by_ref().take(4).collect();
                let letter = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                plain.push(letter.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).into_iter().map(|setting| (setting.key, setting.value)).collect()
    }

    #[test]
    fn keys_end_at_any_separator() {
        for line in ["a=b", "a:b", "a b", " a = b ", "a\t=\tb", "a   b"] {
            assert_eq!(pairs(line), [("a".into(), "b".into())], "{line:?}");
        }
        assert_eq!(pairs("a==b"), [("a".into(), "=b".into())]);
        assert_eq!(pairs("a"), [("a".into(), String::new())]);
    }

    #[test]
    fn comments_and_empty_lines_are_skipped_but_counted() {
        let settings = parse("# x\n\n  ! y\nserver.1=h:1:2\n");
        assert_eq!(settings.len(), 1);
        assert_eq!(settings[0].place, "line 4");
        assert_eq!(settings[0].value, "h:1:2");
    }

    #[test]
    fn a_backslash_joins_lines_and_escapes_letters() {
        assert_eq!(pairs("a=1,\\\n   2,\\\n3"), [("a".into(), "1,2,3".into())]);
        assert_eq!(pairs("a\\=b=c\\u0041\\t."), [("a=b".into(), "cA\t.".into())]);
        assert_eq!(pairs("dir=C:\\\\data"), [("dir".into(), "C:\\data".into())]);
        assert_eq!(pairs("a=b\\\\"), [("a".into(), "b\\".into())]);
        assert_eq!(pairs("a=b\\"), [("a".into(), "b".into())]);
    }
}
