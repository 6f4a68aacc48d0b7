//! One question to a server, for health checks where no other program is at hand.
//!
//! It asks `srvr`, the one word that servers answer by default, and is content with a server that
//! says which part it plays. One that is up but serves nobody (a member without a quorum) is not
//! healthy.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

/// How long connecting and answering may take, in seconds, all addresses of the name together.
/// Looking the name up is the system's affair and has limits of its own.
const HEALTH_SECS_MAX: u64 = 3;

/// Bytes of an answer that are read; a server's is a few hundred.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// What the server at `address` (a host and a port) is, as in `follower`.
///
/// # Errors
/// Why it is not healthy, for a person.
pub(crate) fn ask(address: &str) -> Result<String, String> {
    ask_within(address, Duration::from_secs(HEALTH_SECS_MAX))
        .map_err(|problem| format!("{address}: {problem}"))
}

fn ask_within(address: &str, limit: Duration) -> Result<String, String> {
    let deadline = Instant::now() + limit;
    let candidates = address
        .to_socket_addrs()
        .map_err(|error| format!("expected a host and a port that can be looked up: {error}"))?;
    let mut problem = "the name has no address".to_owned();
    for candidate in candidates {
        let answer = left(deadline)
            .and_then(|left| TcpStream::connect_timeout(&candidate, left))
            .and_then(|stream| answer(stream, deadline));
        match answer {
            Ok(answer) => return mode(&answer),
            Err(error) => problem = error.to_string(),
        }
    }
    Err(problem)
}

/// Everything the server says to `srvr` before it closes, or as much as anybody needs.
fn answer(mut stream: TcpStream, deadline: Instant) -> io::Result<String> {
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(b"srvr")?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let room = ANSWER_BYTES_MAX.saturating_sub(answer.len() as u64);
        let count = (&mut stream).take(room).read(&mut part)?;
        if count == 0 {
            return Ok(String::from_utf8_lossy(&answer).into_owned());
        }
        answer.extend(part.iter().take(count));
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn mode(answer: &str) -> Result<String, String> {
    if let Some(mode) = answer.lines().find_map(|line| line.strip_prefix("Mode: ")) {
        return Ok(mode.escape_debug().to_string());
    }
    let first = answer.lines().next().unwrap_or("it closed the connection without an answer");
    Err(first.escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// The verdict on a server that answers this, and then closes or says nothing more.
    fn verdict(answer: &'static [u8], closes: bool) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut word = [0; 4];
            stream.read_exact(&mut word).expect("a word");
            assert_eq!(&word, b"srvr");
            drop(stream.write_all(answer));
            if !closes {
                drop(stream.read(&mut word));
            }
        });
        let verdict = ask_within(&address, Duration::from_millis(300));
        server.join().expect("an end");
        verdict
    }

    #[test]
    fn a_server_that_tells_its_mode_is_healthy() {
        let answer = b"Zookeeper version: 3.9.5\nMode: follower\nNode count: 5\n";
        assert_eq!(verdict(answer, true), Ok("follower".into()));
    }

    #[test]
    fn one_that_serves_nobody_is_not() {
        let answer = b"This ZooKeeper instance is not currently serving requests\n";
        let problem = verdict(answer, true).expect_err("not serving");
        assert!(problem.contains("not currently serving"), "{problem}");
        assert!(verdict(b"", true).is_err());
    }

    #[test]
    fn one_that_stays_silent_is_given_up() {
        assert!(verdict(b"Mode: follower\n", false).is_err());
    }

    #[test]
    fn m44_an_answer_without_end_is_cut_and_shown_harmless() {
        static ENDLESS: [u8; 1 << 20] = [7; 1 << 20];
        let problem = verdict(&ENDLESS, true).expect_err("no mode");
        assert!(problem.len() < 8 * 16 * 1024 && !problem.contains('\u{7}'));
    }

    #[test]
    fn a_name_without_a_port_is_refused() {
        for address in ["localhost", "localhost:x", ""] {
            assert!(ask(address).is_err_and(|problem| problem.starts_with(address)), "{address}");
        }
    }
}
