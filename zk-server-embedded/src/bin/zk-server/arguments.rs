//! The command line. Whatever it says becomes settings like those of a configuration file.

use std::{ffi::OsString, fs, net::SocketAddr, path::PathBuf};

use tracing::level_filters::LevelFilter;
use zk_server_embedded::config_file::{ConfigFile, Setting};

pub(crate) const HELP: &str = "\
Runs one ZooKeeper server in the foreground: on its own, or as a member of the ensemble that the
configuration file lists.

Usage:
  zk-server <zoo.cfg> [options]                           as a configuration file says
  zk-server <port> <data dir> [tick ms] [max connections] as Apache's standalone form
  zk-server --data-dir <dir> [options]                    without a file
  zk-server --in-memory [options]                         without a file and without a disk
  zk-server --health <host:port>                          asks a running server how it is

Options:
  --listen <address:port>   listen there; port 0 takes a free one [without a file: 127.0.0.1:2181]
  --data-dir <dir>          keep snapshots and logs there
  --in-memory               keep nothing
  --set <key>=<value>       any key of zoo.cfg; may be repeated; overrides the file
  --log <level>             error, warn, info, debug or trace [info]; logs go to standard error
  --help, --version

The address listened on is printed as the first line on standard output.
--health prints the server's mode and exits with 0, or says why it is not well and exits with 1.
SIGTERM and SIGINT stop the server after the writes under way; sessions live on for their timeout.

Exit codes:
  0 stopped as asked           2 wrong invocation or configuration    10 writing to disk failed
  1 anything unexpected        3 the data directory cannot be used,     11 not the leader's data
                                 or is another server's              12 other voters elsewhere
";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Invocation {
    Help,
    Version,
    /// A running server is to be asked, at this host and port.
    Health(String),
    Serve(Arguments),
}

/// What a server is to be started with.
#[derive(Debug)]
pub(crate) struct Arguments {
    file: Option<PathBuf>,
    settings: Vec<Setting>,
    listen: Option<SocketAddr>,
    pub(crate) in_memory: bool,
    pub(crate) level: LevelFilter,
}

pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Invocation, String> {
    let mut arguments = Arguments {
        file: None,
        settings: Vec::new(),
        listen: None,
        in_memory: false,
        level: LevelFilter::INFO,
    };
    let mut plain = Vec::new();
    let mut words = words;
    while let Some(word) = words.next() {
        let word = text(word)?;
        let (flag, attached) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => {
                (flag.to_owned(), Some(value.to_owned()))
            }
            Some(_) | None => (word, None),
        };
        let mut value = || match attached.clone() {
            Some(value) => Ok(value),
            None => words.next().ok_or_else(|| format!("{flag} needs a value")).and_then(text),
        };
        match flag.as_str() {
            "--help" | "-h" => return Ok(Invocation::Help),
            "--version" | "-V" => return Ok(Invocation::Version),
            "--health" => return Ok(Invocation::Health(value()?)),
            "--in-memory" => arguments.in_memory = true,
            "--listen" => arguments.listen = Some(address(&value()?)?),
            "--data-dir" => arguments.set("--data-dir", "dataDir", &value()?),
            "--set" => arguments.set_pair(&value()?)?,
            "--log" => arguments.level = level(&value()?)?,
            flag if flag.starts_with('-') => return Err(format!("there is no option {flag}")),
            _ => plain.push(flag),
        }
    }
    arguments.take_plain(plain)?;
    Ok(Invocation::Serve(arguments))
}

impl Arguments {
    /// The configuration all of it amounts to.
    pub(crate) fn config(&self) -> Result<ConfigFile, String> {
        let mut settings = Vec::new();
        let mut defaults = Vec::new();
        if let Some(path) = &self.file {
            let text = fs::read_to_string(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            settings = ConfigFile::settings_of(&text);
        } else {
            defaults.push(setting("without a file", "clientPort", "2181"));
            defaults.push(setting("without a file", "clientPortAddress", "127.0.0.1"));
        }
        if self.in_memory {
            defaults.push(setting("--in-memory", "dataDir", "."));
        }
        if self.listen.is_some() {
            defaults.push(setting("--listen", "clientPort", "0"));
        }
        defaults.append(&mut settings);
        defaults.extend(self.settings.iter().cloned());
        let mut config = ConfigFile::from_settings(defaults).map_err(|error| match &self.file {
            Some(path) => format!("{}: {error}", path.display()),
            None => error.to_string(),
        })?;
        if let Some(address) = self.listen {
            config.listen = address;
        }
        Ok(config)
    }

    fn set(&mut self, place: &str, key: &str, value: &str) {
        self.settings.push(setting(place, key, value));
    }

    fn set_pair(&mut self, pair: &str) -> Result<(), String> {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| format!("--set needs key=value, found {pair}"))?;
        self.set("--set", key.trim(), value.trim());
        Ok(())
    }

    // ZooKeeper: ServerConfig.parse(String[]), QuorumPeerMain.initializeAndRun
    fn take_plain(&mut self, plain: Vec<String>) -> Result<(), String> {
        if plain.len() > 4 {
            return Err(format!("expected at most four words, found {}", plain.len()));
        }
        let mut plain = plain.into_iter();
        match (plain.next(), plain.next()) {
            (None, _) => {
                let has_data = self.settings.iter().any(|setting| setting.key == "dataDir");
                if has_data || self.in_memory {
                    Ok(())
                } else {
                    Err("expected a configuration file, --data-dir or --in-memory".into())
                }
            }
            (Some(file), None) => {
                self.file = Some(file.into());
                Ok(())
            }
            (Some(port), Some(data_dir)) => {
                // Apache's form listens on every address.
                self.set("argument 1", "clientPort", &port);
                self.set("argument 1", "clientPortAddress", "::");
                self.set("argument 2", "dataDir", &data_dir);
                for (place, key) in [("argument 3", "tickTime"), ("argument 4", "maxClientCnxns")] {
                    if let Some(value) = plain.next() {
                        self.set(place, key, &value);
                    }
                }
                Ok(())
            }
        }
    }
}

fn setting(place: &str, key: &str, value: &str) -> Setting {
    Setting { key: key.into(), value: value.into(), place: place.into() }
}

fn text(word: OsString) -> Result<String, String> {
    word.into_string().map_err(|word| format!("not readable as text: {}", word.display()))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("--listen expects address:port, found {text}"))
}

fn level(text: &str) -> Result<LevelFilter, String> {
    text.parse()
        .map_err(|_| format!("--log expects off, error, warn, info, debug or trace, found {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(words: &[&str]) -> Result<ConfigFile, String> {
        match parse(words.iter().map(Into::into))? {
            Invocation::Serve(arguments) => arguments.config(),
            Invocation::Help | Invocation::Version | Invocation::Health(_) => {
                Err("nothing to serve".into())
            }
        }
    }

    #[test]
    fn apaches_standalone_form_is_understood() {
        let config = config(&["2181", "/data", "2000", "7"]).expect("complete");
        assert_eq!((config.listen.port(), config.data_dir), (2181, "/data".into()));
        assert_eq!(config.peer.tick_ms, 2_000);
        assert_eq!(config.peer.connections_per_address_max, 7);
        assert!(config.listen.ip().is_unspecified());
    }

    #[test]
    fn flags_stand_for_keys() {
        let words = ["--data-dir=/d", "--listen", "127.0.0.1:0", "--set", "snapCount=9"];
        let config = config(&words).expect("complete");
        assert_eq!(config.listen, "127.0.0.1:0".parse().expect("an address"));
        assert_eq!(config.peer.snapshot_txns, 9);
        assert!(self::config(&["--in-memory"]).is_ok());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for words in [
            &[][..],
            &["--nosuch"],
            &["--data-dir"],
            &["--health"],
            &["--set", "x", "--in-memory"],
            &["--log=loud", "--in-memory"],
            &["a", "b", "c", "d", "e"],
            &["--in-memory", "--listen", "localhost"],
            &["port", "/data"],
        ] {
            assert!(config(words).is_err(), "{words:?}");
        }
    }
}
