//! A version of a configuration says one thing for ever, and who follows ends with the newest.

use std::collections::BTreeMap;

use zk_proto::Zxid;
use zk_server_core::tree::Tree;

/// What names the version in force.
const POINTER: &str = "/r/config/current";

/// Versions, and what was made of them.
#[derive(Debug, Default)]
pub struct Settings {
    said: BTreeMap<u64, u64>,
    /// Which transaction put in force what somebody had in the end.
    told: Vec<Option<Zxid>>,
}

impl Settings {
    /// A version says something.
    ///
    /// # Errors
    /// If it said something else before.
    pub fn says(&mut self, number: u64, said: u64) -> Result<(), String> {
        match self.said.insert(number, said) {
            Some(before) if before != said => {
                Err(format!("config: version {number} says {said}, and said {before}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Somebody who followed has this in the end.
    pub fn ends(&mut self, zxid: Option<Zxid>) {
        self.told.push(zxid);
    }

    /// Compares this with the tree in the end.
    pub fn judge(&self, tree: &Tree) -> Vec<String> {
        let node = tree.node(POINTER);
        let in_force = node.map(|node| node.stat().mzxid);
        let mut broken = Vec::new();
        if let Some(node) = node {
            let name = String::from_utf8_lossy(node.data().unwrap_or_default()).into_owned();
            if tree.node(&format!("/r/config/{name}")).is_none() {
                broken.push(format!("config: version {name} is in force and gone"));
            }
        }
        for told in self.told.iter().filter(|told| **told != in_force) {
            broken.push(format!("config: {told:?} in the end, and {in_force:?} is in force"));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_says_something_else_is_found() {
        let mut settings = Settings::default();
        assert!(settings.says(1, 7).is_ok());
        assert!(settings.says(1, 7).is_ok());
        assert!(settings.says(2, 8).is_ok());
        assert!(settings.says(1, 8).is_err());
    }
}
