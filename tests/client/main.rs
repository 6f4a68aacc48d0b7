//! The client on a real server: faults, outages, and what is left behind.

mod apache_sasl;
mod apache_tls;
mod blocking;
mod dropping;
mod faults;
mod resolving;
mod srv;
mod transactions;
mod trees;
mod watching;
