//! What the fuzz targets share.

/// Decodes, encodes, decodes again, encodes again: nothing may change, however odd the bytes.
#[macro_export]
macro_rules! same {
    ($data:expr; $($record:ty),* $(,)?) => {$({
        use zk_proto::jute::{decode, encode};
        if let Ok(value) = decode::<$record>($data) {
            let bytes = encode(&value);
            let again = encode(&decode::<$record>(&bytes).expect("what we encode we decode"));
            assert_eq!(again, bytes, stringify!($record));
        }
    })*};
}
