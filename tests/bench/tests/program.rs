//! Runs the program as a user does: loads against its own do-nothing server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

#[test]
fn every_load_of_requests_ends_without_faults() {
    let server = NullServer::start();
    let file = std::env::temp_dir().join(format!("zk-bench-test-{}.json", std::process::id()));

    let status = bench()
        .args(["run", "--connect", &server.address, "--seconds", "0.2", "--warm-up-seconds", "0"])
        .args(["--workload", "read,write,mix90,credel,multi10,lat1get,rate10k,ping,exists,churn"])
        .args(["--server-pid", &server.child.id().to_string()])
        .arg("--json")
        .arg(&file)
        .stdout(Stdio::null())
        .status()
        .expect("the program can be started");
    let text = std::fs::read_to_string(&file).expect("the figures were written");
    std::fs::remove_file(&file).expect("the file is ours");

    let whole: Value = serde_json::from_str(&text).expect("the figures are JSON");
    let loads = whole["loads"].as_array().expect("there is a list of loads");
    assert_eq!(loads.len(), 10);
    for load in loads {
        assert_eq!(load["violations"], 0, "{load:#}");
        assert_eq!(load["errors"], 0, "{load:#}");
        assert!(load["operations"].as_u64() > Some(0), "{load:#}");
    }
    assert!(status.success());
}

#[test]
fn values_of_another_size_are_violations() {
    let server = NullServer::start();

    let run = bench()
        .args(["run", "--connect", &server.address, "--seconds", "0.1", "--value-bytes", "100"])
        .output()
        .expect("the program can be started");

    assert_eq!(run.status.code(), Some(1));
    let table = String::from_utf8_lossy(&run.stdout);
    assert!(table.contains("violation: "), "{table}");
}

#[test]
fn a_server_elsewhere_is_refused() {
    let run = bench()
        .args(["run", "--connect", "192.0.2.1:2181"])
        .output()
        .expect("the program can be started");

    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("--allow-remote"));
}

#[test]
fn every_client_reads_and_writes_without_faults() {
    let file = std::env::temp_dir().join(format!("zk-bench-clients-{}.json", std::process::id()));

    let status = bench()
        .args([
            "client",
            "--only",
            "libraries",
            "--rounds",
            "1",
            "--seconds",
            "0.1",
            "--warm-up-seconds",
            "0.05",
        ])
        .arg("--json")
        .arg(&file)
        .stdout(Stdio::null())
        .status()
        .expect("the program can be started");
    let text = std::fs::read_to_string(&file).expect("the figures were written");
    std::fs::remove_file(&file).expect("the file is ours");

    let rows: Value = serde_json::from_str(&text).expect("the figures are JSON");
    for row in rows.as_array().expect("there is a list of rows") {
        assert_eq!(row["faults"], 0, "{row:#}");
        assert!(row["ops_per_second"][0].as_f64() > Some(0.0), "{row:#}");
    }
    assert!(status.success());
}

#[test]
fn every_figure_of_the_client_stands_beside_its_goal() {
    let run = bench()
        .args(["client", "--size", "1", "--only", "outstanding,watches,crowd,cache"])
        .output()
        .expect("the program can be started");

    let (table, errors) =
        (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    for figure in ["10000 outstanding", "100 watches", "100 clients", "2000 nodes", "update told"] {
        assert!(table.contains(figure), "{figure}: {table}{errors}");
    }
    assert!(run.status.success(), "{errors}");
}

#[test]
fn a_comparison_says_which_server_it_lacks() {
    let run = bench()
        .args(["compare", "--server", "no-such-server"])
        .output()
        .expect("the program can be started");

    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("no-such-server is not there"));
}

struct NullServer {
    child: Child,
    address: String,
}

impl NullServer {
    fn start() -> Self {
        let mut child = bench()
            .arg("null-server")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output is a pipe");
        BufReader::new(output).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on ").expect("it listens").to_owned();
        Self { child, address }
    }
}

impl Drop for NullServer {
    fn drop(&mut self) {
        self.child.kill().expect("it is still running");
        self.child.wait().expect("it is our child");
    }
}

fn bench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_zk-bench"))
}
