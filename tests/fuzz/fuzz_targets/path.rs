//! Fuzzes path rules and what takes paths apart.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_proto::{
    ZnodePath,
    path::{check_sequential, sequence_of},
};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = sequence_of(text);
    let _ = check_sequential(text);
    if let Ok(path) = ZnodePath::new(text) {
        assert_eq!(path.as_str(), text);
        if let Some(parent) = path.parent() {
            assert!(parent.is_above(&path));
            assert_eq!(parent.child(path.name()), Ok(path));
        }
    }
});
