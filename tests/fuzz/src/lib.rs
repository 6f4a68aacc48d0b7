//! What the fuzz targets share.
//!
//! ```text
//!  script    an input read as a list of choices
//!  history   logs and snapshots out of choices
//!  server    a whole server whose clients, disk and clock do as the input says
//!  client    a client session whose server, caller and clock do as the input says
//! ```

pub mod client;
pub mod history;
pub mod script;
pub mod server;

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
