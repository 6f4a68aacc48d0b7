//! Fuzzes a payload of the transaction log.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_proto::{jute::encode, txn::TxnRecord};

fuzz_target!(|data: &[u8]| {
    if let Ok(record) = TxnRecord::decode(data, 0xf_ffff) {
        let bytes = encode(&record);
        let again = TxnRecord::decode(&bytes, 0xf_ffff).expect("what we encode we decode");
        assert_eq!(again, record);
    }
});
