//! What the recipes cost: locks beside the raw operations that they are made of and beside
//! Curator's, and what discovery, elections and configuration promise.
//!
//! ```text
//!   one command ─► ensembles of Apache's and of ours ─► rounds ─► one table for each ensemble
//!                    └── Curator in a JVM of its own, one for each, warm from round to round
//! ```
//! Each figure is the median of the rounds and stands beside its goal; each ratio is the median of
//! the rounds' own ratios, with the least and the greatest of them beside it. In every round both
//! are measured one right after the other, so that whatever else the machine does befalls both.

use std::io;
use std::time::Duration;

use zk_client::{Client, OperationError as _};

use self::curator::Curator;
use self::figures::{Figure, Figures};
use crate::cli::RecipesArguments;
use crate::compare::server::{Ensemble, Subject};
use crate::compare::{self, Directory};
use crate::stop;
use crate::target::Target;

mod curator;
mod figures;
mod locks;
mod others;
mod rows;

/// Long enough that no session ends by itself.
const SESSION: Duration = Duration::from_secs(20);

/// How many locks are taken beside each other.
const LOCKS: usize = 64;

/// Servers, and what was measured on them.
#[derive(Debug)]
struct Place {
    connect: String,
    /// Ends before its servers do.
    theirs: Option<Curator>,
    /// Whose they are, if we have started them.
    ensemble: Option<Ensemble>,
    figures: Figures,
}

/// Measures and prints the tables; tells whether nothing went wrong.
///
/// # Errors
/// If the servers cannot be started or reached, or something is refused.
pub(crate) fn run(arguments: &RecipesArguments) -> io::Result<bool> {
    let directory = Directory::create(arguments.directory.clone())?;
    let mut places = places(arguments, &directory)?;
    let run = Duration::from_secs_f64(arguments.seconds);
    for place in &mut places {
        // What is measured is a warm machine, on warm servers.
        round(place, run, 0)?;
        place.figures = Figures::default();
    }
    for number in 0..arguments.rounds {
        let count = places.len();
        for turn in 0..count {
            let place = &mut places[(turn + number as usize) % count];
            round(place, run, number)?;
        }
    }
    let on_apache = places.iter().find(|place| place.is_of(Subject::Apache));
    let theirs = on_apache.map(|place| place.figures.of(Figure::HandOverTheirs).to_vec());
    let mut is_reached = true;
    for place in &mut places {
        if let (true, Some(theirs)) = (place.is_of(Subject::Ours), &theirs) {
            place.figures.put(Figure::HandOverOnApache, theirs.clone());
        }
        let subject = place.ensemble.as_ref().map(|ensemble| ensemble.subject);
        let table = rows::Rows::of(subject, &place.figures);
        crate::say(&format!("{}:\n{}", place.title(arguments.members), table.render()));
        is_reached &= table.are_reached();
    }
    if places.iter().any(|place| place.theirs.is_none()) {
        crate::say("Curator is not measured: set ZK_JAVA_DRIVER and ZK_CURATOR (see .ci/peers)");
    }
    Ok(!arguments.enforce || is_reached)
}

fn places(arguments: &RecipesArguments, directory: &Directory) -> io::Result<Vec<Place>> {
    if let Some(connect) = &arguments.connect {
        let target = Target::parse(connect, arguments.allow_remote).map_err(io::Error::other)?;
        return Ok(vec![Place::new(None, target.to_string())?]);
    }
    let (server, apache) = (arguments.server.clone(), arguments.apache.clone());
    let launcher = compare::launcher(server, apache, arguments.members, directory)?;
    let mut places = Vec::new();
    for subject in [Subject::Apache, Subject::Ours] {
        let mut ensemble = launcher.start(subject, "recipes")?;
        ensemble.await_write()?;
        let connect = ensemble.target().to_string();
        places.push(Place::new(Some(ensemble), connect)?);
    }
    Ok(places)
}

fn round(place: &mut Place, run: Duration, number: u32) -> io::Result<()> {
    stop::check()?;
    let root = format!("/zk-bench-recipes-{}-{number}", std::process::id());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    locks::measure(place, &runtime, &root, run)?;
    stop::check()?;
    runtime.block_on(async {
        others::measure(&place.connect, &root, &mut place.figures).await?;
        let zk = client(&place.connect).await?;
        match zk.delete_all(&root).await {
            Err(error) if error.session_end().is_some() => Err(io::Error::other(error)),
            // Containers go by themselves.
            Ok(_) | Err(_) => Ok(()),
        }
    })
}

impl Place {
    fn new(ensemble: Option<Ensemble>, connect: String) -> io::Result<Self> {
        let theirs = Curator::start(&connect)?;
        Ok(Self { ensemble, connect, theirs, figures: Figures::default() })
    }

    fn is_of(&self, subject: Subject) -> bool {
        self.ensemble.as_ref().is_some_and(|ensemble| ensemble.subject == subject)
    }

    fn title(&self, members: u32) -> String {
        match &self.ensemble {
            None => format!("On {}", self.connect),
            Some(Ensemble { subject: Subject::Apache, .. }) => {
                format!("On Apache's servers, {members} together")
            }
            Some(Ensemble { .. }) => format!("On our servers, {members} together"),
        }
    }
}

async fn client(connect: &str) -> io::Result<Client> {
    let builder = Client::builder(connect).session_timeout(SESSION);
    builder.connect().await.map_err(io::Error::other)
}

/// The middle of some times, in µs.
fn p50_us(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
