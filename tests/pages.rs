//! What the pages for people say, held against the sources they speak of.
//!
//! A page names a test as `path/of/file.rs::name`. A table with the columns `here` and `shown by`
//! says what there is: `y` and names the test that shows it, `p` for a part, `n` for nothing. A
//! page of errors names every variant of every error.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Where pages are. Markdown there is a page, and so is what the others say about themselves.
const PAGES: &[&str] = &["zk-client/src", "zk-recipes/src", "README.md"];

/// The list of pitfalls, one number after the other.
const PITFALLS: &str = "zk-recipes/src/guide/pitfalls.md";
const PITFALLS_COUNT: usize = 65;

/// What exports errors, what defines them, and the page that tells what to do about them.
struct Errors {
    fronts: &'static [&'static str],
    sources: &'static [&'static str],
    page: &'static str,
}

const ERRORS: &[Errors] = &[
    Errors {
        fronts: &["zk-client/src/lib.rs"],
        sources: &["zk-client/src", "zk-client/core/src/sasl.rs", "zk-client/proto/src/path.rs"],
        page: "zk-client/src/guide/errors.md",
    },
    Errors {
        fronts: &[
            "zk-recipes/src/lib.rs",
            "zk-recipes/src/config/mod.rs",
            "zk-recipes/src/discovery/mod.rs",
        ],
        sources: &["zk-recipes/src"],
        page: "zk-recipes/src/guide/errors.md",
    },
];

#[test]
fn every_test_that_a_page_names_is_there() {
    let mut count = 0;
    for (page, text) in pages() {
        for reference in references(&text) {
            assert!(is_test(reference), "{page}: there is no test {reference}");
            count += 1;
        }
    }
    assert!(count > 50, "the pages were not read: {count}");
}

#[test]
fn only_tests_are_taken_for_tests() {
    assert!(is_test("tests/pages.rs::only_tests_are_taken_for_tests"));
    assert!(is_test("tests/interop/recipes.rs::barriers_hold_everybody"), "made by a macro");
    assert!(is_test("tests/conformance/nodes.rs::exists_of_nothing_is_no_failure"), "a case");
    for other in ["tests/pages.rs::root", "tests/pages.rs::no_such_thing", "tests/none.rs::root"] {
        assert!(!is_test(other), "{other}");
    }
}

#[test]
fn every_yes_names_the_test_that_shows_it() {
    let mut count = 0;
    for (page, text) in pages() {
        for Row { has, cells } in rows(&text) {
            let shown = references(&cells).count();
            match has {
                "y" => assert!(shown > 0, "{page}: no test for: {cells}"),
                "n" => assert_eq!(shown, 0, "{page}: a test of what is not there: {cells}"),
                "p" => {}
                other => panic!("{page}: neither y, p nor n but {other}: {cells}"),
            }
            count += 1;
        }
    }
    assert!(count > 50, "the tables were not read: {count}");
}

#[test]
fn every_pitfall_has_a_test_with_its_number() {
    let text = read(&root().join(PITFALLS));
    let mut sections = text.split("\n**").skip(1);
    for number in 1..=PITFALLS_COUNT {
        let section = sections.next().expect("one section for each number");
        assert!(section.starts_with(&format!("{number}.** ")), "not the next: {section}");
        let numbered = |test: &str| {
            let name = test.rsplit("::").next().unwrap_or_default();
            let numbers = name.strip_prefix("pitfall_").unwrap_or_default().split('_');
            let numbers = numbers.take_while(|word| *word == "and" || word.parse::<u32>().is_ok());
            numbers.into_iter().any(|word| word == number.to_string())
        };
        assert!(references(section).any(numbered), "no test of number {number}: {section}");
    }
    assert_eq!(sections.next(), None, "more than {PITFALLS_COUNT}");
}

#[test]
fn every_error_is_told_of_and_nothing_else() {
    for Errors { fronts, sources, page } in ERRORS {
        let told = told_errors(&read(&root().join(page)));
        let defined: BTreeMap<String, BTreeSet<String>> = sources
            .iter()
            .flat_map(|source| files(&root().join(source), "rs"))
            .flat_map(|file| defined_errors(&read(&file)))
            .collect();
        let fronts: String = fronts.iter().map(|front| read(&root().join(front))).collect();
        let words: BTreeSet<_> = fronts.split(|c: char| !c.is_alphanumeric()).collect();
        let public: BTreeMap<_, _> =
            defined.into_iter().filter(|(name, _)| words.contains(&**name)).collect();
        assert!(public.len() > 10, "the sources were not read: {public:?}");
        for (name, variants) in &public {
            assert_eq!(told.get(name), Some(variants), "{page}: {name}");
        }
        let names = |errors: &BTreeMap<_, _>| errors.keys().cloned().collect::<Vec<String>>();
        assert_eq!(names(&told), names(&public), "{page}");
    }
}

#[test]
fn every_code_of_a_server_is_told_of() {
    let page = read(&root().join("zk-client/src/guide/errors.md"));
    let (_, codes) = page.split_once("# Codes of the server").expect("a section of codes");
    for code in zk_client::ErrorCode::ALL {
        assert!(codes.contains(&format!("\n| `{}` | ", code.name())), "no word of {code}");
    }
}

/// A row of a table that says what there is: what stands below `here`, and the whole row.
struct Row<'a> {
    has: &'a str,
    cells: String,
}

/// The rows of all tables that say what there is and by what that is shown.
fn rows(text: &str) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    let mut column = None;
    for line in text.lines().map(|line| line.trim_start_matches("//!").trim()) {
        if !line.starts_with('|') {
            column = None;
            continue;
        }
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        match column {
            None if cells.contains(&"shown by") => {
                column = Some(cells.iter().position(|cell| *cell == "here"));
            }
            None => column = Some(None),
            Some(Some(at)) if !line.starts_with("|--") => {
                let has = cells.get(at).copied().unwrap_or_default();
                rows.push(Row { has, cells: line.to_owned() });
            }
            Some(_) => {}
        }
    }
    rows
}

/// The tests that a text names.
fn references(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|quoted| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/_-.:".contains(c);
        quoted.contains(".rs::") && quoted.chars().all(is_plain)
    })
}

/// Whether a file has a test of that name: a function with an attribute that says so, or one that
/// the file lists for a macro to make a test of.
fn is_test(reference: &str) -> bool {
    let Some((file, name)) = reference.split_once("::") else { return false };
    let Ok(text) = fs::read_to_string(root().join(file)) else { return false };
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let start = format!("fn {name}(");
    let Some(at) = lines.iter().position(|line| line.contains(&start)) else { return false };
    let mut above = lines[..at].iter().rev().take_while(|line| line.starts_with(['#', '/']));
    let case = format!("{name} [");
    above.any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"))
        || lines.iter().any(|line| *line == name || line.starts_with(&case))
}

/// The errors that a page has headings for, with the variants that it tells of.
fn told_errors(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut told = BTreeMap::<String, BTreeSet<String>>::new();
    let mut headed = Vec::new();
    for line in text.lines() {
        if line.starts_with('#') {
            let quoted = line.split('`').skip(1).step_by(2);
            headed = quoted.filter(|name| name.ends_with("Error")).collect();
            told.extend(headed.iter().map(|name| ((*name).to_owned(), BTreeSet::new())));
        } else if let Some((variant, _)) =
            line.strip_prefix("| `").and_then(|rest| rest.split_once('`'))
        {
            for name in &headed {
                told.entry((*name).to_owned()).or_default().insert(variant.to_owned());
            }
        }
    }
    told
}

/// The public enums of a source whose names end in `Error`, with their variants.
fn defined_errors(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = bare(text);
    let mut defined = BTreeMap::new();
    for rest in text.split("pub enum ").skip(1) {
        let Some((head, body)) = rest.split_once('{') else { continue };
        // A macro that makes several of one form is called with a list of their names.
        let names: Vec<_> = if head.trim() == "$name" {
            let listed = text.lines().filter_map(|line| line.trim().strip_suffix(';'));
            listed.filter(|name| word(name) == *name).collect()
        } else {
            vec![word(head)]
        };
        let mut variants = BTreeSet::new();
        for part in parts(body) {
            let part = part.trim();
            // In the list of what operations are refused for, each variant has its text in front,
            // and what can befall any request is not written down.
            if let Some(variant) = part.strip_prefix('"') {
                variants.extend([word(variant).to_owned(), "Request".to_owned()]);
            } else if !part.is_empty() {
                variants.insert(word(part).to_owned());
            }
        }
        let errors = names.into_iter().filter(|name| name.ends_with("Error"));
        defined.extend(errors.map(|name| (name.to_owned(), variants.clone())));
    }
    defined
}

/// A source without its comments and attributes, its strings one quotation mark each.
fn bare(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut bare = String::new();
    let mut attribute = 0_usize;
    for line in lines {
        for (at, code) in line.split('"').enumerate() {
            if at % 2 == 1 {
                if attribute == 0 {
                    bare.push('"');
                }
                continue;
            }
            let mut before = ' ';
            for c in code.chars() {
                attribute += usize::from(c == '[' && (before == '#' || attribute > 0));
                if attribute == 0 && c != '#' {
                    bare.push(c);
                }
                attribute -= usize::from(c == ']' && attribute > 0);
                before = c;
            }
        }
        bare.push('\n');
    }
    bare
}

/// The parts between the commas of an enum's body, up to its end.
fn parts(body: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, c) in body.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&body[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if depth < 0 {
            parts.push(&body[start..at]);
            break;
        }
    }
    parts
}

/// The first word.
fn word(text: &str) -> &str {
    let text = text.trim_start();
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default()
}

/// The pages with their texts.
fn pages() -> Vec<(String, String)> {
    let mut pages = Vec::new();
    for place in PAGES {
        let place = root().join(place);
        let found = files(&place, "md").into_iter().chain(files(&place, "rs"));
        for path in found.collect::<BTreeSet<_>>() {
            let text = read(&path);
            let is_code = path.extension().is_some_and(|extension| extension == "rs");
            let lines = text.lines().filter(|line| !is_code || line.starts_with("//!"));
            let text = lines.collect::<Vec<_>>().join("\n");
            pages.push((path.display().to_string(), text));
        }
    }
    pages
}

/// Every file below a folder whose name ends so.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    if folder.is_file() {
        return vec![folder.to_owned()];
    }
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("readable"))
        {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the root").to_owned()
}
