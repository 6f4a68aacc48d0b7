//! Fuzzes the text that says who belongs to an ensemble.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_proto::ensemble::EnsembleConfig;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match EnsembleConfig::parse(text) {
        Ok(ensemble) => {
            assert!(ensemble.voters().count() > 0);
            let written = ensemble.to_string();
            let again = EnsembleConfig::parse(&written).expect("what we write we read");
            assert_eq!(again, ensemble);
            assert_eq!(again.to_string(), written);
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control)),
    }
});
