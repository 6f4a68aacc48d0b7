//! What all members of a partitioned set are told.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use zk_client::{Client, PathError, ZnodePath};

use super::{member::PartitionMember, split::every_nth};
use crate::{
    acquire::Acquire,
    error::JoinError,
    host,
    line::{Exclusive, Line, Marks, Naming},
    lock::options::{Options, lock_options},
    party::{shallow_line, shallow_name},
};

/// How long the members stay the same before the items are divided among them, unless told
/// otherwise: those who are started together come within a second.
const QUIET_DEFAULT: Duration = Duration::from_secs(1);

/// A set of items, divided among those who take part: each item to one member at a time.
///
/// It shares its nodes with kazoo's `SetPartitioner`: members in both languages divide one set.
///
/// # What it promises
/// At each moment of the ensemble's history each item has at most one holder, whatever the members
/// believe of each other, because whoever has an item holds its lock. When somebody joins or
/// leaves, all are told at once ([`crate::Share::ended`]), and each item goes to its next holder as
/// soon as the one before has given it up. As with every lock, a paused holder does not know in
/// time that it holds no longer: see [`Hold`](crate::Hold), and hand each item's token to what the
/// item stands for.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::Partitioner;
///
/// let mut member = Partitioner::new(&zk, "/work", ["a", "b", "c"])?.join().await?;
/// loop {
///     let share = member.next_share().await?;
///     for partition in share.partitions() {
///         println!("{} with token {}", partition.name(), partition.token());
///     }
///     share.ended().await; // stop working on it
///     share.release().await?;
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Partitioner {
    pub(super) party: Line,
    /// The locks by the names of the items.
    pub(super) items: Arc<BTreeMap<String, Line>>,
    pub(super) quiet: Duration,
    pub(super) margin: Option<Duration>,
    split: Split,
}

/// Collects what a partitioner needs to know; see [`Partitioner::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct PartitionerBuilder {
    options: Options,
    items: Vec<String>,
    quiet: Duration,
    split: Split,
}

/// How items are divided.
#[derive(Clone)]
enum Split {
    EveryNth,
    Own(Arc<OwnSplit>),
}

/// From our own name, those of all members and those of all items to those of our items.
type OwnSplit = dyn Fn(&str, &[&str], &[&str]) -> Vec<String> + Send + Sync;

impl Partitioner {
    /// The set at a path, with all defaults. Parents that are missing are created, as containers.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one, or an item is not a legal name of a node.
    pub fn new(
        client: &Client,
        path: &str,
        items: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, PathError> {
        Self::builder(client, path, items).build()
    }

    /// Collects what a partitioner needs to know. Nothing else must be stored under its path. All
    /// members must be told the same items: what only some know of, only they divide.
    ///
    /// Our name among the members is [`PartitionerBuilder::data`]; unless set it is made of this
    /// machine's address, the process and a random number. No two members may have the same name
    /// where kazoo takes part.
    pub fn builder(
        client: &Client,
        path: &str,
        items: impl IntoIterator<Item = impl Into<String>>,
    ) -> PartitionerBuilder {
        PartitionerBuilder {
            options: Options::new(client, path),
            items: items.into_iter().map(Into::into).collect(),
            quiet: QUIET_DEFAULT,
            split: Split::EveryNth,
        }
    }

    /// Joins those among whom the items are divided. Each call is a member of its own.
    ///
    /// # Errors
    /// [`JoinError`]; we take no part then and no node stays.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub fn join(&self) -> Acquire<PartitionMember, JoinError> {
        let all = self.clone();
        Acquire::in_line_as(&self.party, 0, self.margin, |grip| PartitionMember::new(all, grip))
    }

    /// The set's path.
    ///
    /// # Panics
    /// Never: members are always below a path.
    pub fn path(&self) -> ZnodePath {
        self.party.path().parent().expect("members are below it")
    }

    /// The names of our items, given the nodes of all members in order and which is ours.
    pub(super) fn share(&self, nodes: &[String], rank: usize) -> Vec<String> {
        let items = self.items.keys().map(String::as_str);
        match &self.split {
            Split::EveryNth => every_nth(rank, nodes.len(), items),
            Split::Own(split) => {
                let names: Vec<_> = nodes.iter().filter_map(|node| shallow_name(node)).collect();
                let own = names.get(rank).copied().unwrap_or_default();
                split(own, &names, &items.collect::<Vec<_>>())
            }
        }
    }
}

impl PartitionerBuilder {
    /// How long the members must stay the same before the items are divided among them; one second
    /// unless set. kazoo's `time_boundary`. The longer it is, the fewer divisions while many come
    /// or go, and the longer nobody works on what a member that has gone had.
    pub const fn quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// How the items are divided: from our name, those of all members and those of all items, each
    /// in order, to those of our items. What is not among the items is left out. Every `n`th of the
    /// items for one of `n` members unless set, as in kazoo.
    ///
    /// All members must divide in the same way. Where they do not, each item still has one holder
    /// at a time: who comes second waits until the first leaves.
    pub fn split(
        mut self,
        split: impl Fn(&str, &[&str], &[&str]) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.split = Split::Own(Arc::new(split));
        self
    }

    /// The partitioner.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one, or an item or our name is not a legal name
    /// of a node.
    pub fn build(self) -> Result<Partitioner, PathError> {
        let Self { mut options, items, quiet, split } = self;
        let runtime = options.client.runtime();
        options.data.get_or_insert_with(|| {
            let (host, process) = (host::address(), std::process::id());
            format!("{host}-{process}-{:016x}", runtime.random()).into()
        });
        let party = shallow_line(&options, "/party")?;
        let naming = Naming::kazoo(Marks::One("__lock__"));
        let lock = |item: String| {
            if let Some(at) = item.find('/') {
                return Err(PathError::Character(at));
            }
            let line = options.line("partitioner", &format!("/locks/{item}"), naming, Exclusive)?;
            Ok((item, line))
        };
        let items = items.into_iter().map(lock).collect::<Result<_, _>>()?;
        Ok(Partitioner { party, items: Arc::new(items), quiet, margin: options.margin, split })
    }
}

lock_options!(PartitionerBuilder);

impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EveryNth => "EveryNth",
            Self::Own(_) => "Own",
        })
    }
}
