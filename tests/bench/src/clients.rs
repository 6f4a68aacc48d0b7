//! Our client's figures beside their goals.
//!
//! Client libraries beside each other: one session each, one request at a
//! time and 256 at a time, against the same server.
//!
//! Raw bytes without a library are the limit. Every library runs on a runtime
//! of one thread together with its callers, and every value that comes back is
//! checked. Clients take turns within a round, and the order
//! turns round from one round to the next.
//!
//! What else is measured has a file of its own and is about our client only.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::cli::{ClientArguments, ClientFigure};
use crate::control;
use crate::layout::Layout;
use crate::median::median;
use crate::null_server::NullProcess;
use crate::run::Load;
use crate::stop;
use crate::table::{Table, thousands};
use crate::target::Target;
use crate::workload::Workload;

mod cache;
mod crowd;
mod goals;
mod ours;
mod outstanding;
mod peer;
mod session;
mod watches;

use goals::{Goal, Goals};
use ours::Ours;
use peer::Peer;
use session::{Deed, Figures, Run, Style};

const VALUE_BYTES: usize = 100;
const NODES: u32 = 1_000;
const STYLES: [Style; 3] = [Style::Single, Style::Pipelined(256), Style::Tasks(256)];

/// A way to talk to a server.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Raw,
    Ours,
    Peer,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Raw, Self::Ours, Self::Peer];

    const fn title(self) -> &'static str {
        match self {
            Self::Raw => "raw bytes",
            Self::Ours => "zk-client",
            Self::Peer => "zookeeper-client 0.11",
        }
    }

    /// Raw bytes have no tasks that could wait for them.
    const fn has(self, style: Style) -> bool {
        match (self, style) {
            (Self::Raw, Style::Tasks(_)) => false,
            (
                Self::Raw | Self::Ours | Self::Peer,
                Style::Single | Style::Pipelined(_) | Style::Tasks(_),
            ) => true,
        }
    }

    /// Runs one client in one way.
    fn run(self, server: &Server, run: &Run) -> io::Result<Figures> {
        match self {
            Self::Raw => raw(&server.target, run),
            Self::Ours => session::run::<Ours>(&server.target, run),
            Self::Peer => session::run::<Peer>(&server.target, run),
        }
    }
}

/// What one client was asked to do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Case {
    deed: Deed,
    style: Style,
    kind: Kind,
}

/// The server that all clients talk to.
#[derive(Debug)]
struct Server {
    target: Target,
    /// Kept for as long as it is needed, if it is ours.
    _process: Option<NullProcess>,
}

/// Measures what is asked for and prints it beside its goals; tells whether every reply was right.
///
/// # Errors
/// If a server cannot be reached, something is refused, or the user stops it.
pub(crate) fn run(arguments: &ClientArguments) -> io::Result<bool> {
    let mut goals = Goals::default();
    let is_right = match *arguments.only {
        [ClientFigure::Libraries] => libraries(arguments, &mut goals)?,
        [figure] => alone(figure, arguments.size, &mut goals).map(|()| true)?,
        [] => return apart(ClientFigure::value_variants()),
        _ => return apart(&arguments.only),
    };
    crate::say(&goals.render());
    Ok(is_right && (!arguments.enforce || goals.are_reached()))
}

/// Measures each in a process of its own with the same arguments, so that the memory of one is not
/// the memory of another.
fn apart(figures: &[ClientFigure]) -> io::Result<bool> {
    let mut is_right = true;
    for name in figures.iter().filter_map(ValueEnum::to_possible_value) {
        stop::check()?;
        let mut given = std::env::args_os().skip(1);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(given.next()).args(["--only", name.get_name()]);
        command.args(without_only(given));
        is_right &= command.status()?.success();
    }
    Ok(is_right)
}

/// Arguments but for `--only` and what belongs to it.
fn without_only(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut is_value = false;
    given
        .filter(|argument| {
            let is_only = argument == "--only";
            let is_kept =
                !is_only && !is_value && !argument.as_encoded_bytes().starts_with(b"--only=");
            is_value = is_only;
            is_kept
        })
        .collect()
}

/// Runs one measurement of our client on one thread, as the libraries are.
fn alone(figure: ClientFigure, percent: u32, goals: &mut Goals) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match figure {
            ClientFigure::Libraries => Ok(()),
            ClientFigure::Outstanding => outstanding::measure(percent, goals).await,
            ClientFigure::Watches => watches::measure(percent, goals).await,
            ClientFigure::Crowd => crowd::measure(percent, goals).await,
            ClientFigure::Cache => cache::measure(percent, goals).await,
        }
    })
}

/// Runs every library and prints the table; tells whether every reply was right.
fn libraries(arguments: &ClientArguments, goals: &mut Goals) -> io::Result<bool> {
    let server = server(arguments)?;
    let root = format!("{}/zk-bench-client", server.target.chroot);
    let layout = Arc::new(Layout::new(&root, NODES, VALUE_BYTES));
    control::prepare(&server.target, &layout)?;
    let mut figures: BTreeMap<Case, Vec<Figures>> = BTreeMap::new();
    for round in 0..arguments.rounds {
        for deed in [Deed::Get, Deed::Set] {
            for style in STYLES {
                for kind in in_turn(round).into_iter().filter(|kind| kind.has(style)) {
                    let duration = Duration::from_secs_f64(arguments.seconds);
                    let warm_up = Duration::from_secs_f64(arguments.warm_up_seconds);
                    let layout = Arc::clone(&layout);
                    let run = Run { deed, style, layout, warm_up, duration };
                    let case = Case { deed, style, kind };
                    figures.entry(case).or_default().push(kind.run(&server, &run)?);
                }
            }
        }
    }
    if arguments.connect.is_some() {
        control::Control::connect(server.target.address_for(0))?.remove(&layout)?;
    }
    crate::say(&render(&figures));
    judge(&figures, goals);
    if let Some(file) = &arguments.json {
        fs::write(file, format!("{:#}\n", to_json(&figures)))?;
    }
    Ok(figures.values().flatten().all(|figures| figures.faults == 0))
}

/// Sets the figures of our client beside their goals.
fn judge(figures: &BTreeMap<Case, Vec<Figures>>, goals: &mut Goals) {
    for deed in [Deed::Get, Deed::Set] {
        let of = |kind, style, pick: fn(&Figures) -> Option<f64>| {
            figures.get(&Case { deed, style, kind }).and_then(|measured| middle(measured, pick))
        };
        let speed = |kind, style| of(kind, style, |figures| Some(figures.per_second));
        let ratio = |style, other| {
            speed(Kind::Ours, style).zip(speed(other, style)).map(|(own, other)| own / other)
        };
        let (ahead, deed) = (Style::Pipelined(256), deed.name());
        let times = format!("{deed}, depth 256, beside zookeeper-client");
        goals.add(times, "×", ratio(ahead, Kind::Peer), Goal::AtLeast(2.5));
        let cost = of(Kind::Ours, ahead, |figures| figures.client_us);
        goals.add(format!("{deed}, depth 256, processor"), "µs/op", cost, Goal::AtMost(1.5));
        let share = ratio(Style::Single, Kind::Raw);
        goals.add(format!("{deed}, depth 1, beside raw bytes"), "×", share, Goal::AtLeast(0.9));
    }
}

fn server(arguments: &ClientArguments) -> io::Result<Server> {
    let Some(connect) = &arguments.connect else {
        let process = NullProcess::start(VALUE_BYTES)?;
        return Ok(Server { target: process.target(), _process: Some(process) });
    };
    let target = Target::parse(connect, arguments.allow_remote).map_err(io::Error::other)?;
    Ok(Server { target, _process: None })
}

fn in_turn(round: u32) -> Vec<Kind> {
    let mut kinds = Kind::ALL.to_vec();
    if !round.is_multiple_of(2) {
        kinds.reverse();
    }
    kinds
}

/// The generator itself, as a client with one session.
fn raw(target: &Target, run: &Run) -> io::Result<Figures> {
    let workload = match run.deed {
        Deed::Get => Workload::Read,
        Deed::Set => Workload::Write,
    };
    let mut load = Load::usual(workload, target.clone(), run.duration);
    load.connections = 1;
    load.depth = run.style.depth();
    load.value_bytes = VALUE_BYTES;
    load.warm_up = run.warm_up;
    let report = load.run()?;
    Ok(Figures {
        per_second: report.per_second,
        p50_us: matches!(run.style, Style::Single).then_some(report.p50_us),
        client_us: report.generator_us,
        faults: report.errors + report.violations,
    })
}

fn render(figures: &BTreeMap<Case, Vec<Figures>>) -> String {
    let mut table = Table::new(&[
        "request",
        "depth",
        "client",
        "ops/s",
        "min–max",
        "÷ peer",
        "p50 µs",
        "client µs/op",
        "faults",
    ]);
    for (case, measured) in figures {
        let per_second = middle(measured, |figures| Some(figures.per_second));
        let peer = figures.get(&Case { kind: Kind::Peer, ..*case });
        let peer = peer.and_then(|measured| middle(measured, |figures| Some(figures.per_second)));
        let ratio = per_second.zip(peer).map(|(own, peer)| format!("{:.2}", own / peer));
        let show = |figure: Option<f64>| figure.map_or_else(|| "–".to_owned(), thousands);
        table.row(vec![
            case.deed.name().to_owned(),
            case.style.to_string(),
            case.kind.title().to_owned(),
            show(per_second),
            range(measured),
            ratio.unwrap_or_default(),
            show(middle(measured, |figures| figures.p50_us)),
            show(middle(measured, |figures| figures.client_us)),
            measured.iter().map(|figures| figures.faults).sum::<u64>().to_string(),
        ]);
    }
    table.render()
}

fn to_json(figures: &BTreeMap<Case, Vec<Figures>>) -> Value {
    let rows = figures.iter().map(|(case, measured)| {
        json!({
            "request": case.deed.name(),
            "callers": case.style.to_string(),
            "depth": case.style.depth(),
            "client": case.kind.title(),
            "ops_per_second": measured.iter().map(|each| each.per_second).collect::<Vec<_>>(),
            "p50_us": measured.iter().map(|each| each.p50_us).collect::<Vec<_>>(),
            "client_us_per_op": measured.iter().map(|each| each.client_us).collect::<Vec<_>>(),
            "faults": measured.iter().map(|each| each.faults).sum::<u64>(),
        })
    });
    Value::Array(rows.collect())
}

/// The slowest and the fastest run: clients fall into larger or smaller batches
/// by chance, and a run mostly stays with what it began with.
fn range(measured: &[Figures]) -> String {
    let speeds = || measured.iter().map(|figures| figures.per_second);
    let (least, most) = (speeds().fold(f64::MAX, f64::min), speeds().fold(0.0, f64::max));
    format!("{}–{}", thousands(least), thousands(most))
}

fn middle(measured: &[Figures], pick: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
    median(measured.iter().filter_map(pick).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_is_told_its_own_figure_only() {
        let given = ["--only", "crowd", "--size", "2", "--only=watches", "--enforce"];
        let kept = without_only(given.map(OsString::from).into_iter());
        assert_eq!(kept, ["--size", "2", "--enforce"]);
    }

    #[test]
    fn the_table_sets_every_client_beside_the_peer() {
        let figures = |per_second| {
            vec![Figures { per_second, p50_us: None, client_us: Some(1.0), faults: 0 }]
        };
        let case = |kind| Case { deed: Deed::Get, style: Style::Pipelined(256), kind };
        let table = render(&BTreeMap::from([
            (case(Kind::Raw), figures(800.0)),
            (case(Kind::Peer), figures(200.0)),
        ]));

        assert!(table.contains("4.00") && table.contains("1.00"), "{table}");
    }
}
