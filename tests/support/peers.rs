//! Where the real components are. A suite that needs one and does not find it fails and says how to
//! get it; it never passes silently.

use std::path::PathBuf;

/// The `java` program.
pub fn java() -> PathBuf {
    required("ZK_JAVA").into()
}

/// The directory with the jars of Apache 3.9.5.
pub fn apache_39() -> PathBuf {
    required("ZK_APACHE_39").into()
}

/// The directory with the jars of Apache 3.8.
pub fn apache_38() -> PathBuf {
    required("ZK_APACHE_38").into()
}

/// The directory with the jar of Curator's x-discovery.
pub fn curator_discovery() -> PathBuf {
    required("ZK_CURATOR_DISCOVERY").into()
}

/// The directory with the classes compiled from `tests/java`.
pub fn java_driver() -> PathBuf {
    required("ZK_JAVA_DRIVER").into()
}

/// A Python that has kazoo.
pub fn kazoo_python() -> PathBuf {
    required("ZK_KAZOO_PYTHON").into()
}

/// Our own server program: `ZK_SERVER_BIN`, or what cargo built last.
///
/// # Panics
/// When there is none.
pub fn zk_server() -> PathBuf {
    if let Some(named) = std::env::var_os("ZK_SERVER_BIN") {
        return named.into();
    }
    // Test programs lie in `<target>/<profile>/deps`, the server in `<target>/<profile>`.
    let here = std::env::current_exe().expect("a running program has a path");
    let target = here.ancestors().nth(3).expect("cargo's target directory");
    let built = ["release", "debug"].map(|profile| target.join(profile).join("zk-server"));
    let newest = built
        .iter()
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max_by_key(|(modified, _)| *modified);
    match newest {
        Some((_, path)) => path.clone(),
        None => panic!(
            "no zk-server in {}: run `cargo build -p zk-server-embedded --bin zk-server`, \
             or set ZK_SERVER_BIN",
            target.display()
        ),
    }
}

fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run eval \"$(.ci/peers)\""))
}
