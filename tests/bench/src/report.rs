//! What one load came to, as a line of a table and as JSON.

use serde_json::{Value, json};

use crate::table::{Table, thousands};
use crate::tally::Tally;
use crate::usage::Spent;
use crate::workload::Workload;

/// What was run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) workload: Workload,
    pub(crate) connections: u32,
    pub(crate) depth: usize,
    pub(crate) value_bytes: usize,
}

/// The figures of one load.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) shape: Shape,
    pub(crate) seconds: f64,
    pub(crate) operations: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p95_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
    /// Processor time of all servers for one operation, in µs.
    pub(crate) server_us: Option<f64>,
    /// Processor time of this program for one operation, in µs.
    pub(crate) generator_us: Option<f64>,
    /// Cores busy with neither the servers nor this program.
    pub(crate) foreign_cores: Option<f64>,
    /// Resident memory for one idle session, in bytes.
    pub(crate) session_bytes: Option<f64>,
    pub(crate) errors: u64,
    pub(crate) violations: u64,
    pub(crate) complaints: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl Report {
    #[expect(clippy::cast_precision_loss, reason = "no run makes 2^52 operations")]
    pub(crate) fn new(shape: Shape, tally: &Tally, spent: Spent) -> Self {
        let seconds = spent.elapsed.as_secs_f64();
        let operations = tally.operations as f64;
        let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / operations.max(1.0);
        Self {
            shape,
            seconds,
            operations: tally.operations,
            per_second: operations / seconds.max(1e-9),
            p50_us: tally.latency_us(0.50),
            p95_us: tally.latency_us(0.95),
            p99_us: tally.latency_us(0.99),
            max_us: tally.latency_us_max(),
            server_us: spent.servers.map(each),
            generator_us: spent.own.map(each),
            foreign_cores: spent.foreign_cores,
            session_bytes: None,
            errors: tally.error_count(),
            violations: tally.violations,
            complaints: tally.complaints(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn with_note(mut self, note: String) -> Self {
        self.notes.push(note);
        self
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "load": self.shape.workload.name(),
            "connections": self.shape.connections,
            "depth": self.shape.depth,
            "value_bytes": self.shape.value_bytes,
            "seconds": self.seconds,
            "operations": self.operations,
            "ops_per_second": self.per_second,
            "p50_us": self.p50_us,
            "p95_us": self.p95_us,
            "p99_us": self.p99_us,
            "max_us": self.max_us,
            "server_us_per_op": self.server_us,
            "generator_us_per_op": self.generator_us,
            "foreign_cores": self.foreign_cores,
            "bytes_per_session": self.session_bytes,
            "errors": self.errors,
            "violations": self.violations,
            "complaints": self.complaints,
            "notes": self.notes,
        })
    }
}

/// Lays out reports under each other, complaints and notes below.
pub(crate) fn render(reports: &[Report]) -> String {
    let mut table = Table::new(&[
        "load",
        "conns",
        "depth",
        "ops/s",
        "p50 µs",
        "p95 µs",
        "p99 µs",
        "max µs",
        "server µs/op",
        "generator µs/op",
        "foreign cores",
        "errors",
        "violations",
    ]);
    let mut below = String::new();
    for report in reports {
        let shape = report.shape;
        table.row(vec![
            shape.workload.to_string(),
            shape.connections.to_string(),
            shape.depth.to_string(),
            thousands(report.per_second),
            thousands(report.p50_us),
            thousands(report.p95_us),
            thousands(report.p99_us),
            thousands(report.max_us),
            optional(report.server_us, 2),
            optional(report.generator_us, 2),
            optional(report.foreign_cores, 1),
            report.errors.to_string(),
            report.violations.to_string(),
        ]);
        let bytes =
            report.session_bytes.map(|bytes| format!("memory per session: {bytes:.0} bytes"));
        for line in report.notes.iter().chain(&report.complaints).chain(&bytes) {
            below.extend([shape.workload.name(), ": ", line, "\n"]);
        }
    }
    format!("{}{below}", table.render())
}

fn optional(figure: Option<f64>, decimals: usize) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.decimals$}"))
}
