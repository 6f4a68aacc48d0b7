//! Reads what was captured from running Apache servers.

use std::{collections::BTreeMap, fs, path::Path};

use zk_proto::jute::{Decode, Encode, Reader, encode};

/// Kind and payload.
type Lines = Vec<(String, Vec<u8>)>;

/// The captures of one family, by name.
pub(crate) fn files(family: &str) -> BTreeMap<String, Lines> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(family);
    let files: BTreeMap<_, _> = fs::read_dir(&folder)
        .expect("the captures are part of the repository")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "hex"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("readable");
            (path.file_stem().expect("named").to_string_lossy().into_owned(), parse(&text))
        })
        .collect();
    assert!(!files.is_empty(), "no captures in {}", folder.display());
    files
}

fn parse(text: &str) -> Lines {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let (kind, hex) = line.split_once(' ').unwrap_or((line, ""));
            let bytes = hex
                .trim()
                .as_bytes()
                .chunks(2)
                .map(|pair| {
                    let digits = std::str::from_utf8(pair).expect("ASCII");
                    u8::from_str_radix(digits, 16).expect("hexadecimal")
                })
                .collect();
            (kind.to_owned(), bytes)
        })
        .collect()
}

/// Whether the bytes are one value and nothing else, and come back from it.
pub(crate) fn same<'a, T: Decode<'a> + Encode>(bytes: &'a [u8]) -> Result<(), String> {
    let mut reader = Reader::new(bytes);
    let value = T::decode(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    if encode(&value) == bytes { Ok(()) } else { Err("encodes differently".into()) }
}
