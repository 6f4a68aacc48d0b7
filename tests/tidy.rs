//! The house rules that a machine can check.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Lines of one file, its own tests not counted.
const FILE_LINES_MAX: usize = 600;
/// Columns of one line.
const LINE_COLUMNS_MAX: usize = 100;

/// Crates that must stay free of clocks, sockets, files and threads.
const PURE: &[&str] = &["zk-client/proto/src", "zk-client/core/src", "zk-server-embedded/core/src"];
/// Shell code that must run on the simulator's time and randomness as well as on the real ones.
const SIMULATED: &[&str] = &["zk-client/src", "zk-recipes/src"];
/// The files in which the real runtime lives.
const RUNTIME: &[&str] = &["zk-client/src/runtime/", "zk-client/src/transport/"];

/// Code that decides whether something is held. The time of day may jump.
const HELD: &[&str] = &[
    "zk-client/core/src",
    "zk-recipes/src/acquire.rs",
    "zk-recipes/src/barrier",
    "zk-recipes/src/election",
    "zk-recipes/src/fence.rs",
    "zk-recipes/src/hold",
    "zk-recipes/src/line",
    "zk-recipes/src/lock",
    "zk-recipes/src/node",
    "zk-recipes/src/partition",
    "zk-recipes/src/timed",
];

struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    fn is_below(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// The text up to the tests at its end.
    fn own(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(&self.text)
    }
}

#[test]
fn files_stay_small() {
    complain(&sources(), |source, complaints| {
        let lines = source.own().lines().count();
        if !source.is_test() && lines > FILE_LINES_MAX {
            let _ =
                writeln!(complaints, "{}: {lines} lines, at most {FILE_LINES_MAX}", source.path);
        }
    });
}

#[test]
fn lines_stay_short() {
    complain(&sources(), |source, complaints| {
        for (number, line) in source.text.lines().enumerate() {
            if line.chars().count() > LINE_COLUMNS_MAX && !line.contains("://") {
                let _ = writeln!(complaints, "{}:{}: too long", source.path, number + 1);
            }
        }
    });
}

#[test]
fn nothing_is_left_undone() {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("#[", "ignore]"),
        concat!("#[", "should_panic"),
    ];
    forbid(&sources(), |_| true, &words);
}

#[test]
fn no_test_sleeps() {
    let words = [concat!("thread::", "sleep("), concat!("time::", "sleep(")];
    complain(&sources(), |source, complaints| {
        if source.path.starts_with("tests/bench") || source.path == "tests/tidy.rs" {
            return; // A load program offers its load by the clock.
        }
        let tests = if source.is_test() || source.path.starts_with("tests/") {
            source.text.as_str()
        } else {
            &source.text[source.own().len()..]
        };
        for word in words.iter().filter(|word| tests.contains(**word)) {
            let _ = writeln!(complaints, "{}: {word}", source.path);
        }
    });
}

#[test]
fn pure_crates_stay_pure() {
    let words =
        ["std::time", "std::net", "std::fs", "std::thread", "tokio", "rand::", "std::collections"];
    // What a test needs to look at its results is its own affair.
    let pure = |source: &Source| source.is_below(PURE) && !source.is_test();
    for source in sources().iter().filter(|source| pure(source)) {
        for word in words {
            let code = source.own().lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                assert!(!line.contains(word), "{}: {word}: {line}", source.path);
            }
        }
    }
    for krate in PURE {
        let lib = read(&root().join(krate).join("lib.rs"));
        assert!(lib.contains("#![no_std]"), "{krate}/lib.rs lacks #![no_std]");
    }
}

#[test]
fn client_and_recipes_use_only_the_runtime_for_time_tasks_and_chance() {
    let words = [
        "tokio::time",
        "tokio::spawn",
        "task::spawn",
        "rand::",
        "Instant::now",
        "SystemTime::now",
        "sync::watch",
    ];
    let simulated = |source: &Source| {
        source.is_below(SIMULATED) && !source.is_below(RUNTIME) && !source.is_test()
    };
    for source in sources().iter().filter(|source| simulated(source)) {
        for line in source.own().lines().filter(|line| !line.trim_start().starts_with("//")) {
            for word in words {
                assert!(!line.contains(word), "{}: {word}: {line}", source.path);
            }
        }
    }
}

#[test]
fn every_select_is_biased() {
    complain(&sources(), |source, complaints| {
        let opening = concat!("select", "! {");
        for (at, _) in source.text.match_indices(opening) {
            if !source.text[at + opening.len()..].trim_start().starts_with("biased;") {
                let _ = writeln!(complaints, "{}: a select that is not biased", source.path);
            }
        }
    });
}

#[test]
fn backoff_stays_in_one_file() {
    let words = ["backoff::"];
    forbid(&sources(), |source| source.path != "zk-client/src/retry.rs", &words);
}

#[test]
fn every_module_says_what_it_is_for() {
    complain(&sources(), |source, complaints| {
        let is_documented = source.text.starts_with("//!") || source.path.ends_with("/tests.rs");
        if !is_documented {
            let _ = writeln!(complaints, "{}: no module documentation", source.path);
        }
    });
}

#[test]
fn pitfall_59_nothing_that_is_held_ends_by_the_time_of_day() {
    let words = ["SystemTime", "wall_clock"];
    forbid(&sources(), |source| source.is_below(HELD), &words);
}

#[test]
fn no_path_of_one_machine_is_left() {
    let words = [concat!("/", "root/"), concat!("/", "work/"), concat!("/", "home/")];
    for path in tracked().iter().filter(|path| path.extension().is_none_or(|ext| ext != "lock")) {
        let Ok(text) = fs::read_to_string(path) else { continue };
        for word in words {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}

fn forbid(sources: &[Source], applies: impl Fn(&Source) -> bool, words: &[&str]) {
    complain(sources, |source, complaints| {
        if !applies(source) || source.path == "tests/tidy.rs" {
            return;
        }
        for (number, line) in source.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                let _ = writeln!(complaints, "{}:{}: {word}", source.path, number + 1);
            }
        }
    });
}

fn complain(sources: &[Source], check: impl Fn(&Source, &mut String)) {
    let mut complaints = String::new();
    for source in sources {
        check(source, &mut complaints);
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

fn sources() -> Vec<Source> {
    let root = root();
    let sources: Vec<_> = tracked()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| Source {
            text: read(&path),
            path: path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned(),
        })
        .collect();
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

/// Every file of the project, build output and hidden folders of tools left out.
fn tracked() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("readable"))
        {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if path.is_dir() {
                let is_output = matches!(&*name, "target" | ".git" | "corpus" | "artifacts");
                if !is_output {
                    folders.push(path);
                }
            } else if name != ".git" {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the root").to_owned()
}
