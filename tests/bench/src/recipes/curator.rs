//! Curator's figures, from a JVM of its own that is asked for one after the other.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::LOCKS;

/// A JVM with Curator in it.
#[derive(Debug)]
pub(super) struct Curator {
    process: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    /// One lock at a time: turns each second, and processor time of each in µs.
    One,
    /// Many locks: the same.
    Many,
    /// From one holder to the next: the median, in µs.
    HandOver,
}

impl Curator {
    /// Starts it; nothing where it is not.
    pub(super) fn start(connect: &str) -> io::Result<Option<Self>> {
        let (Some(driver), Some(jars)) = (env::var_os("ZK_JAVA_DRIVER"), env::var_os("ZK_CURATOR"))
        else {
            return Ok(None);
        };
        let java = env::var_os("ZK_JAVA").unwrap_or_else(|| OsString::from("java"));
        let class_path = format!("{}:{}/*", driver.display(), jars.display());
        let mut command = Command::new(java);
        command.args(["-Xmx512m", "-cp", &class_path, "CuratorBench", connect]);
        command.arg(LOCKS.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let (asked, answers) = (process.stdin.take(), process.stdout.take());
        let asked = asked.ok_or_else(|| io::Error::other("no way to ask Curator"))?;
        let answers = answers.ok_or_else(|| io::Error::other("no way to hear Curator"))?;
        Ok(Some(Self { process, asked, answers: BufReader::new(answers) }))
    }

    /// Measures for so long.
    pub(super) fn measure(&mut self, deed: Deed, run: Duration) -> io::Result<Vec<f64>> {
        let name = match deed {
            Deed::One => "single",
            Deed::Many => "many",
            Deed::HandOver => "hand-over",
        };
        writeln!(self.asked, "{name} {}", run.as_secs_f64())?;
        self.asked.flush()?;
        let mut said = String::new();
        self.answers.read_line(&mut said)?;
        figures(name, &said).ok_or_else(|| io::Error::other(format!("CuratorBench says {said:?}")))
    }
}

impl Drop for Curator {
    fn drop(&mut self) {
        // An error means that it has ended by itself, which is as well.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn figures(name: &str, said: &str) -> Option<Vec<f64>> {
    let mut words = said.split_whitespace();
    if words.next() != Some(name) {
        return None;
    }
    words.map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_what_was_asked() {
        assert_eq!(figures("single", "single 1200.5 800.0\n"), Some(vec![1200.5, 800.0]));
        assert_eq!(figures("many", "single 1200.5 800.0\n"), None);
        assert_eq!(figures("many", ""), None);
        assert_eq!(figures("many", "many fast"), None);
    }
}
