//! Other people's clients on our server, and data directories handed from server to server.

mod directories;
mod java_driver;
mod kazoo;
