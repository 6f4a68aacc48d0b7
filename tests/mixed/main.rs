//! Ensembles whose members are ours and Apache's, under load: the running Apache member is the
//! judge of ours. Each scenario ends with a row of the table that [`verdict::check`] prints.
//!
//! ```sh
//! eval "$(.ci/peers)"
//! cargo build --release -p zk-server-embedded --bin zk-server
//! ZK_SERVER_BIN=target/release/zk-server cargo test -p zk-tests --test mixed -- --include-ignored
//! ```

mod cluster;
mod crashes;
mod groups;
mod joining;
mod leading;
mod local;
mod replacing;
mod sessions;
mod verdict;
mod writers;
