//! All cases against one server.

use std::{fmt::Write as _, time::Duration};

use tokio::task::JoinSet;
use zk_proto::client::OpCode;
use zk_tests::raw::Raw;

use crate::{
    acls, catch_up, chroots, modes, multis, nodes, order, precedence, quotas, sessions, watches,
    world::{Case, Host, World},
};

/// How long a case may take: many answers, each of which may take its time.
const CASE_SECS_MAX: u64 = 600;

/// Cases under way at once. Most of their time goes by waiting.
const CASES_MAX: usize = 8;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Good,
    Bad,
    Lacking,
}

/// Every case there is.
pub(crate) fn all() -> Vec<&'static Case> {
    let modules = [
        nodes::CASES,
        modes::CASES,
        acls::CASES,
        multis::CASES,
        watches::CASES,
        catch_up::CASES,
        sessions::CASES,
        order::CASES,
        precedence::CASES,
        chroots::CASES,
        quotas::CASES,
    ];
    modules.into_iter().flatten().collect()
}

/// Runs them against a server and fails if one fails.
pub(crate) async fn every_case(host: Host) {
    let verdicts = verdicts(host).await;
    report(host, &verdicts);
}

/// Runs them against a server.
pub(crate) async fn verdicts(host: Host) -> Vec<(&'static Case, Verdict)> {
    let wanted = std::env::var("ZK_CASE").unwrap_or_default();
    let cases: Vec<_> = all().into_iter().filter(|case| case.name.contains(&wanted)).collect();
    assert!(!cases.is_empty(), "no case is called {wanted}");
    let server = host.start(false).await;
    let mut running = JoinSet::new();
    let mut verdicts = Vec::new();
    let mut preparing = Raw::open(server.address).await;
    for case in cases {
        if !case.needs.iter().all(|need| host.meets(*need)) {
            verdicts.push((case, Verdict::Lacking));
            continue;
        }
        if running.len() >= CASES_MAX {
            verdicts.extend(running.join_next().await.map(|ended| ended.expect("not cancelled")));
        }
        let root = format!("/{}", case.name);
        preparing.create(&root, 0).await;
        let world = World { server: server.clone(), root };
        running.spawn(one(case, world));
    }
    while let Some(ended) = running.join_next().await {
        verdicts.push(ended.expect("not cancelled"));
    }
    preparing.close().await;
    verdicts
}

/// Runs one case in a task of its own, so that its failure is its own too.
async fn one(case: &'static Case, world: World) -> (&'static Case, Verdict) {
    let limit = Duration::from_secs(CASE_SECS_MAX);
    let task = tokio::spawn(tokio::time::timeout(limit, (case.run)(world)));
    match task.await {
        Ok(Ok(())) => (case, Verdict::Good),
        Ok(Err(_)) | Err(_) => (case, Verdict::Bad),
    }
}

/// What became of the cases of an operation.
pub(crate) fn cell(op: OpCode, verdicts: &[(&'static Case, Verdict)]) -> String {
    let count = |wanted| {
        let of_op = verdicts.iter().filter(|(case, _)| case.ops.contains(&op));
        of_op.filter(|(_, verdict)| *verdict == wanted).count()
    };
    let (good, bad, lacking) = (count(Verdict::Good), count(Verdict::Bad), count(Verdict::Lacking));
    let mut cell = format!("{good} good");
    if bad > 0 {
        write!(cell, ", {bad} BAD").expect("a string takes everything");
    }
    if lacking > 0 {
        write!(cell, ", {lacking} not there").expect("as above");
    }
    cell
}

#[expect(clippy::print_stdout, reason = "the table is what a person runs the suite for")]
fn report(host: Host, verdicts: &[(&'static Case, Verdict)]) {
    let mut table = format!("\n{:<24}{:>14}\n", "operation", host.name());
    for op in OpCode::ALL {
        writeln!(table, "{:<24}{:>14}", op.name(), cell(*op, verdicts))
            .expect("a string takes everything");
    }
    for (case, verdict) in verdicts {
        if *verdict == Verdict::Lacking {
            let name = case.name;
            writeln!(table, "not there: {name} (needs {:?})", case.needs).expect("as above");
        }
    }
    println!("{table}");
    let of = |wanted| verdicts.iter().filter(move |(_, verdict)| *verdict == wanted);
    let bad: Vec<_> = of(Verdict::Bad).map(|(case, _)| case.name).collect();
    assert!(bad.is_empty(), "{} of {} cases: {bad:#?}", bad.len(), verdicts.len());
}
