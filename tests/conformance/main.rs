//! One suite, several servers: every operation of the client port, through our own client and,
//! where it would not send such a thing, frame by frame.
//!
//! ```text
//!  world        what a case is given: a server, a place in its tree, clients
//!  run          all cases against one server, and the table of what was covered
//!  matrix       all cases against all servers, in one table
//!  nodes modes acls multis watches catch_up sessions order precedence chroots quotas    the cases
//! ```
//!
//! The real server is the judge: a case that fails on Apache 3.9.5 is wrong. What one of the
//! servers lacks, or does otherwise on purpose, is a [`world::Need`] and shown in the table, never
//! skipped silently. `ZK_CASE=<part of a name>` runs the cases whose name contains it, and
//! `ZK_MATRIX=<file>` keeps the matrix, in which `ZK_APACHE_IMAGE` makes a column of a container.

mod acls;
mod catch_up;
mod chroots;
mod container;
mod matrix;
mod modes;
mod multis;
mod nodes;
mod order;
mod precedence;
mod quotas;
mod run;
mod sessions;
mod watches;
mod world;

use zk_proto::client::OpCode;
use zk_tests::subject::Kind;

use crate::world::Host;

#[test]
fn every_operation_of_the_client_port_is_covered() {
    let covered: Vec<_> = run::all().iter().flat_map(|case| case.ops).copied().collect();
    let missing: Vec<_> = OpCode::ALL.iter().filter(|op| !covered.contains(op)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_embedded() {
    run::every_case(Host::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_ensemble() {
    run::every_case(Host::Ensemble).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the zk-server program: cargo build -p zk-server-embedded --bin zk-server"]
async fn our_program() {
    run::every_case(Host::Process(Kind::Ours)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn apache_3_9_5() {
    run::every_case(Host::Process(Kind::Apache39)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.8: eval \"$(.ci/peers)\""]
async fn apache_3_8() {
    run::every_case(Host::Process(Kind::Apache38)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker and an image of Apache 3.9: .ci/images"]
async fn apache_in_a_container() {
    run::every_case(Host::Container).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM, Apache 3.8 and 3.9.5: eval \"$(.ci/peers)\""]
async fn every_operation_against_every_server() {
    let mut hosts = vec![
        Host::Embedded,
        Host::Ensemble,
        Host::Process(Kind::Apache38),
        Host::Process(Kind::Apache39),
    ];
    if std::env::var_os("ZK_APACHE_IMAGE").is_some() {
        hosts.push(Host::Container);
    }
    matrix::print(&hosts).await;
}
