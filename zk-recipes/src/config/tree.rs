//! Values as trees of keys, and back. Pure.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::ConfigError;

/// Values as JSON by their keys: encoded names with slashes between them. An object without keys is
/// a value.
pub(super) type Keys = BTreeMap<String, String>;

/// Levels of keys, as many as serde reads of one JSON text.
const DEPTH_MAX: usize = 128;

/// What publishing a value would change at one key.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConfigChange {
    /// The key: names with slashes between them, encoded as in the tree.
    pub key: String,
    /// What is there, as JSON; `None` for nothing.
    pub before: Option<String>,
    /// What would be there.
    pub after: Option<String>,
}

/// The keys of a value.
pub(super) fn keys(value: &impl Serialize) -> Result<Keys, ConfigError> {
    let value = serde_json::to_value(value).map_err(|error| ConfigError::json("", &error))?;
    let Value::Object(fields) = value else {
        return Err(ConfigError::NotAnObject);
    };
    let mut keys = Keys::new();
    flatten("", fields, &mut keys);
    Ok(keys)
}

fn flatten(above: &str, fields: Map<String, Value>, keys: &mut Keys) {
    for (name, value) in fields {
        let key = format!("{above}{}", encode(&name));
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                flatten(&format!("{key}/"), fields, keys);
            }
            Value::Object(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => drop(keys.insert(key, value.to_string())),
        }
    }
}

/// The value of keys.
pub(super) fn value<T: DeserializeOwned>(keys: &Keys) -> Result<T, ConfigError> {
    let mut root = Map::new();
    for (key, json) in keys {
        let value = serde_json::from_str(json).map_err(|error| ConfigError::json(key, &error))?;
        let mut names: Vec<_> = key.split('/').map(decode).collect();
        if names.len() > DEPTH_MAX {
            return Err(ConfigError::Json { key: key.clone(), reason: "nested too deeply".into() });
        }
        let last = names.pop().unwrap_or_default();
        let mut fields = &mut root;
        for name in names {
            let inner = fields.entry(name).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(inner) = inner else {
                let reason = "a value with keys below it".into();
                return Err(ConfigError::Json { key: key.clone(), reason });
            };
            fields = inner;
        }
        fields.insert(last, value);
    }
    serde_json::from_value(Value::Object(root)).map_err(|error| ConfigError::json("", &error))
}

/// What differs, in the order of the keys.
pub(super) fn diff(before: &Keys, after: &Keys) -> Vec<ConfigChange> {
    let all: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changes = all.into_iter().map(|key| ConfigChange {
        key: key.clone(),
        before: before.get(key).cloned(),
        after: after.get(key).cloned(),
    });
    changes.filter(|change| change.before != change.after).collect()
}

/// The names of nodes that have to be made for keys, each before those below it, with their data.
pub(super) fn nodes(keys: &Keys) -> BTreeMap<String, &str> {
    let mut nodes = BTreeMap::new();
    for (key, json) in keys {
        for (at, _) in key.match_indices('/') {
            nodes.insert(key[..at].to_owned(), "");
        }
        nodes.insert(key.clone(), json);
    }
    nodes
}

/// The name of a version's node.
pub(super) fn name_of(number: u64) -> String {
    format!("v{number}")
}

/// The number of a version, from the name of its node.
pub(super) fn number_of(name: &[u8]) -> Result<u64, ConfigError> {
    let name = String::from_utf8_lossy(name);
    let number = name.strip_prefix('v').and_then(|digits| digits.parse().ok());
    // Written in one way only: no sign, no zeros in front.
    number
        .filter(|&number| name_of(number) == name)
        .ok_or_else(|| ConfigError::Pointer(name.into_owned()))
}

/// A name that a path may hold.
fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_:@+=,;~".contains(&byte) {
            out.push(char::from(byte));
        } else if byte == b'.' && name != "." && name != ".." {
            out.push('.');
        } else {
            out.push('%');
            out.extend([byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)])));
        }
    }
    if out.is_empty() { NAMELESS.into() } else { out }
}

/// The name that was encoded. What is no encoding stays as it is.
fn decode(name: &str) -> String {
    if name == NAMELESS {
        return String::new();
    }
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let escaped = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped =
            escaped.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) if byte == b'%' => {
                out.push(escaped);
                rest = &behind[2..];
            }
            Some(_) | None => {
                out.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| name.to_owned())
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// What a field without a name is called: no name of a node is empty, and no encoding is this.
const NAMELESS: &str = "%";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_becomes_keys_and_the_same_value_again() {
        let odd = json!({"": 7, ".": 1, "..": 2, "a/b": {"%": null}, "ü\u{1f600}": true, "%41": 1});
        let database = json!({"host": "db1", "ports": [1, 2], "odd": odd});
        let all = json!({
            "database": database, "empty": {}, "text": "5", "number": 5, "a.b": 1.5,
        });
        let keys = keys(&all).expect("an object");
        assert_eq!(keys.get("database/host").map(String::as_str), Some("\"db1\""));
        assert_eq!(keys.get("database/ports").map(String::as_str), Some("[1,2]"));
        assert_eq!(keys.get("database/odd/a%2Fb/%25").map(String::as_str), Some("null"));
        assert_eq!(keys.get("empty").map(String::as_str), Some("{}"));
        for key in keys.keys() {
            zk_client::ZnodePath::new(&format!("/{key}")).expect("a legal path");
        }
        assert_eq!(value::<Value>(&keys).expect("an object"), all);
    }

    #[test]
    fn parents_come_before_their_children_and_hold_nothing() {
        let keys = keys(&json!({"a": {"b": {"c": 1}, "d": 2}})).expect("an object");
        let nodes = nodes(&keys);
        let nodes: Vec<_> = nodes.iter().map(|(name, data)| (&**name, *data)).collect();
        assert_eq!(nodes, [("a", ""), ("a/b", ""), ("a/b/c", "1"), ("a/d", "2")]);
    }

    #[test]
    fn what_cannot_be_read_names_the_key() {
        let broken = Keys::from([("a/b".into(), "{".into())]);
        let refused = value::<Value>(&broken).expect_err("broken");
        assert!(matches!(refused, ConfigError::Json { key, .. } if key == "a/b"));
        let deep = Keys::from([(["a"; 1_000].join("/"), "1".into())]);
        assert!(value::<Value>(&deep).is_err());
        let twofold = Keys::from([("a".into(), "1".into()), ("a/b".into(), "2".into())]);
        assert!(value::<Value>(&twofold).is_err());
        assert_eq!(keys(&[1, 2]), Err(ConfigError::NotAnObject));
    }

    #[test]
    fn a_difference_names_what_comes_changes_and_goes() {
        let of = |value: Value| keys(&value).expect("an object");
        let changes =
            diff(&of(json!({"a": 1, "b": 2, "c": 3})), &of(json!({"b": 2, "c": 4, "d": 5})));
        let told = changes
            .iter()
            .map(|change| (&*change.key, change.before.as_deref(), change.after.as_deref()));
        let expected =
            [("a", Some("1"), None), ("c", Some("3"), Some("4")), ("d", None, Some("5"))];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_version_has_one_name() {
        assert_eq!(number_of(name_of(7).as_bytes()), Ok(7));
        for name in ["", "v", "7", "v07", "v+7", "v-1", "v7 ", "V7", "v99999999999999999999"] {
            assert!(number_of(name.as_bytes()).is_err(), "{name}");
        }
    }
}
