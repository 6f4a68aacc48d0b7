//! Directories written by Apache `ZooKeeper` 3.9.5 are read to the last digit.

mod facts;

use std::{collections::BTreeMap, fs};

use zk_proto::{SessionId, Zxid};
use zk_server_core::{
    storage::{
        RecoverConfig, Recovered,
        disk::Dir,
        name::Packing,
        recover,
        sim_disk::SimDisk,
        snapshot::{Discard, SnapshotDecoder, SnapshotError},
    },
    tree::{LoadError, StatPersisted, TreeConfig, TreeLoader},
};

#[test]
fn a_plain_directory_is_read_to_the_last_digit() {
    holds_what_the_facts_say("plain");
}

#[test]
fn a_directory_with_gzip_snapshots_is_read_to_the_last_digit() {
    holds_what_the_facts_say("gz");
}

#[test]
fn a_directory_with_snappy_snapshots_is_read_to_the_last_digit() {
    holds_what_the_facts_say("snappy");
}

#[test]
fn a_bad_newest_snapshot_falls_back_to_the_older_one() {
    for packing in ["plain", "gz", "snappy"] {
        let (mut disk, facts) = golden(packing);
        let newest = newest_snapshot(&disk);
        disk.damage(Dir::Snapshots, &newest, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        });
        let recovered =
            recover(&mut disk, &config()).expect("the older one and all logs are there");
        assert_eq!(recovered.report.skipped.len(), 1, "{packing}");
        assert_eq!(recovered.report.skipped[0].0, newest);
        compare(&recovered, &facts);
    }
}

#[test]
fn m51_m52_a_snapshot_ends_where_its_limit_does_and_where_it_is_no_tree() {
    for packing in ["plain", "gz", "snappy"] {
        let (disk, _) = golden(packing);
        let newest = newest_snapshot(&disk);
        let bytes = disk.content(Dir::Snapshots, &newest).expect("it was listed");
        let read = |bytes: &[u8], bytes_max| {
            let mut decoder = SnapshotDecoder::new(Packing::of(&newest), bytes_max);
            decoder.feed(bytes, &mut Discard).and_then(|()| decoder.finish())
        };
        assert!(read(bytes, 1 << 20).is_ok(), "{packing}");
        assert_eq!(read(bytes, 400), Err(SnapshotError::TooLong(400)), "{packing}");
        let cut = &bytes[..bytes.len() - 20];
        assert!(read(cut, 1 << 20).is_err(), "{packing}");
    }
    // A node without a parent, under seals that are right.
    let mut loader = TreeLoader::new(TreeConfig::default());
    let orphan = loader.node("/a/b", None, -1, StatPersisted::default());
    assert_eq!(orphan, Err(LoadError::Orphan("/a/b".into())));
}

fn holds_what_the_facts_say(packing: &str) {
    let (mut disk, facts) = golden(packing);
    let recovered = recover(&mut disk, &config()).expect("an Apache server left it whole");
    assert_eq!(
        recovered.report.snapshot.as_ref().map(|file| &file.name),
        Some(&newest_snapshot(&disk))
    );
    assert_eq!(recovered.report.mismatches.count, 0);
    compare(&recovered, &facts);
}

fn compare(recovered: &Recovered, facts: &Facts) {
    assert_eq!(recovered.last_zxid, facts.last_zxid);
    assert_eq!(recovered.tree.digest(), facts.digest);
    assert_eq!(recovered.sessions, facts.sessions);
    let history: BTreeMap<Zxid, u64> = recovered.tree.digest_history().collect();
    for (zxid, digest) in &facts.hashes {
        assert_eq!(history.get(zxid), Some(digest), "{zxid}");
    }
    let found = facts::shown(&recovered.tree);
    for (path, line) in &facts.nodes {
        assert_eq!(found.get(path), Some(line), "{path}");
    }
    assert_eq!(found.len(), facts.nodes.len());
}

struct Facts {
    last_zxid: Zxid,
    digest: u64,
    sessions: Vec<(SessionId, i32)>,
    hashes: Vec<(Zxid, u64)>,
    nodes: BTreeMap<String, String>,
}

/// The directory and what a client of the server that wrote it saw.
fn golden(packing: &str) -> (SimDisk, Facts) {
    let root = facts::folder(packing);
    let mut disk = SimDisk::new(false);
    for entry in fs::read_dir(root.join("version-2")).expect("golden files are in the repository") {
        let path = entry.expect("a directory that can be listed").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("plain names");
        disk.put(Dir::Snapshots, name, &fs::read(&path).expect("a readable file"));
    }
    (disk, Facts::parse(&facts::text(packing)))
}

impl Facts {
    fn parse(text: &str) -> Self {
        let mut facts = Self {
            last_zxid: Zxid::ZERO,
            digest: 0,
            sessions: Vec::new(),
            hashes: Vec::new(),
            nodes: BTreeMap::new(),
        };
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            let (kind, first, rest) =
                (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next());
            match kind {
                "last_zxid" => facts.last_zxid = zxid(first),
                "digest" => facts.digest = number(first),
                "session" => facts.sessions.push((
                    SessionId::new(number(first).cast_signed()),
                    rest.and_then(|ms| ms.parse().ok()).expect("a timeout"),
                )),
                "hash" => facts.hashes.push((zxid(first), number(rest.expect("a digest")))),
                "node" => {
                    let rest = rest.expect("a stat").to_owned();
                    // The client shows the list of this node by its number.
                    facts.nodes.insert(first.to_owned(), rest);
                }
                _ => {}
            }
        }
        facts
    }
}

fn config() -> RecoverConfig {
    let tree = TreeConfig { extended_types: true, ..TreeConfig::default() };
    RecoverConfig { tree, ..RecoverConfig::default() }
}

fn newest_snapshot(disk: &SimDisk) -> String {
    let names = disk.names(Dir::Snapshots);
    names.into_iter().rfind(|name| name.starts_with("snapshot.28")).expect("taken at 0x28")
}

fn zxid(text: &str) -> Zxid {
    Zxid::new(number(text).cast_signed())
}

fn number(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("hex")
}
