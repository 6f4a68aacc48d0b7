//! All cases against all servers, in one table of Markdown: rows operations, columns servers.

use std::fmt::Write as _;

use zk_proto::client::OpCode;

use crate::{
    run::{Verdict, cell, verdicts},
    world::Host,
};

/// Runs everything, prints the table, keeps it in the file that `ZK_MATRIX` names, and fails if a
/// case fails.
#[expect(clippy::print_stdout, reason = "the table is what a person runs it for")]
pub(crate) async fn print(hosts: &[Host]) {
    let mut columns = Vec::new();
    for &host in hosts {
        columns.push((host, verdicts(host).await));
    }
    let mut table = String::from("| operation |");
    for (host, _) in &columns {
        write!(table, " {} |", host.name()).expect("a string takes everything");
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(columns.len()));
    for op in OpCode::ALL {
        write!(table, "\n| `{}` |", op.name()).expect("as above");
        for (_, verdicts) in &columns {
            write!(table, " {} |", cell(*op, verdicts)).expect("as above");
        }
    }
    table.push_str(
        "\n\nCases that say nothing about a server, because it does otherwise on purpose:\n",
    );
    for (host, verdicts) in &columns {
        for (case, _) in verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Lacking) {
            write!(table, "\n- {}: `{}` ({:?})", host.name(), case.name, case.needs)
                .expect("as above");
        }
    }
    println!("{table}");
    if let Some(file) = std::env::var_os("ZK_MATRIX") {
        std::fs::write(file, &table).expect("the file can be written");
    }
    let mut bad = Vec::new();
    for (host, verdicts) in &columns {
        let failed = verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Bad);
        bad.extend(failed.map(|(case, _)| format!("{}: {}", host.name(), case.name)));
    }
    assert!(bad.is_empty(), "{bad:#?}");
}
