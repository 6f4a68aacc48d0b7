//! Fuzzes the configuration file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_server_embedded::config_file::ConfigFile;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Names of hosts are looked up, and that is not what is tried here.
    if ConfigFile::settings_of(text).iter().any(|setting| setting.key.ends_with("Address")) {
        return;
    }
    match ConfigFile::parse(text) {
        Ok(file) => {
            let peer = file.peer;
            assert!(peer.session_timeout_ms_min <= peer.session_timeout_ms_max);
            assert!(file.warnings.iter().all(|line| !line.contains(char::is_control)));
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control)),
    }
});
