//! Data directories that Apache `ZooKeeper` 3.9.5 wrote, and what a client of that server saw: the
//! facts that stand beside each.

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

use zk_server_core::tree::Tree;

/// Where one of the directories is.
pub(crate) fn folder(packing: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(packing)
}

/// Everything that was seen of one of them, one fact a line.
pub(crate) fn text(packing: &str) -> String {
    fs::read_to_string(folder(packing).join("facts.txt")).expect("facts beside the directory")
}

/// Every node by its path, in the words of the facts.
pub(crate) fn shown(tree: &Tree) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::new();
    let mut walk = tree.walk();
    while let Some(node) = walk.next(tree) {
        let stat = node.stat();
        let data = node.data().map_or_else(|| "null".to_owned(), hex);
        let acl: Vec<String> = node
            .acl()
            .iter()
            .map(|entry| format!("{}:{}:{}", entry.perms.get(), entry.id.scheme, entry.id.id))
            .collect();
        let line = format!(
            "data={data} czxid={} mzxid={} pzxid={} ctime={} mtime={} version={} cversion={} \
             aversion={} owner={} length={} children={} acl={}",
            stat.czxid,
            stat.mzxid,
            stat.pzxid,
            stat.ctime.get(),
            stat.mtime.get(),
            stat.version,
            stat.cversion,
            stat.aversion,
            stat.ephemeral_owner,
            stat.data_length,
            stat.num_children,
            acl.join(","),
        );
        shown.insert(node.path().to_owned(), line);
    }
    shown
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
