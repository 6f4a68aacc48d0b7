//! The file format of Java's properties, as far as configurations use it.

use alloc::{string::String, vec::Vec};

/// Keys and values in the order of the text. Never fails: a line without a separator is a key with
/// an empty value.
///
/// `#` and `!` begin comment lines; `=`, `:` or white space end the key; a backslash at the end of
/// a line joins the next one, before another character it takes away that character's meaning.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let mut lines = text.split(['\n', '\r']);
    let mut pairs = Vec::new();
    while let Some(line) = lines.next() {
        let line = line.trim_start_matches(BLANKS);
        if !line.is_empty() && !line.starts_with(['#', '!']) {
            pairs.push(pair(&joined(line, &mut lines)));
        }
    }
    pairs
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// The line and those it goes on in.
fn joined<'a>(line: &str, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut whole = String::from(line);
    while whole.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1 {
        whole.pop();
        let Some(next) = lines.next() else { break };
        whole.push_str(next.trim_start_matches(BLANKS));
    }
    whole
}

fn pair(line: &str) -> (String, String) {
    let mut is_escaped = false;
    let end = line.find(|c: char| {
        let is_end = !is_escaped && (c == '=' || c == ':' || BLANKS.contains(&c));
        is_escaped = !is_escaped && c == '\\';
        is_end
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(BLANKS);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (unescaped(key), unescaped(rest.trim_start_matches(BLANKS)))
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => plain.push(code_point(&mut rest)),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

/// Four hexadecimal digits; what is no character becomes the mark for one.
fn code_point(rest: &mut core::str::Chars<'_>) -> char {
    let digits = rest.as_str().get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    if digits.is_some() {
        rest.nth(3);
    }
    digits.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}
