//! Who takes part.

use std::ops::Deref;

use zk_client::{Client, PathError, ZnodePath};

use crate::{
    acquire::Acquire,
    contender::contenders,
    error::{InspectError, JoinError, ReleaseError},
    hold::{Grip, Hold},
    line::{Line, Marks, Naming, Together},
    lock::options::{Options, lock_options},
};

/// A pool of processes that take part in something, each by a name that need not be its own only.
///
/// It shares its nodes with kazoo's `Party`, and by [`PartyLayout::KazooShallow`] with its
/// `ShallowParty`; for Curator's see [`crate::GroupMember`].
///
/// # What it promises
/// Who has joined is among [`Party::members`] until it leaves or its session ends.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::Party;
///
/// let party = Party::builder(&zk, "/workers").data("worker-1").build()?;
/// let membership = party.join().await?;
/// println!("{:?}", party.members().await?);
/// membership.leave().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Party {
    line: Line,
    layout: PartyLayout,
    margin: Option<std::time::Duration>,
}

/// How the nodes of a party are named. Only parties with the same layout see each other.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PartyLayout {
    /// `<hex>__party__`, whose data are the member's name: kazoo's `Party`.
    #[default]
    Kazoo,
    /// `<hex>-<name>`: kazoo's `ShallowParty`. A look at the members is one request, however many
    /// there are; a name must be text that a node's name can hold.
    KazooShallow,
}

/// Collects what a party needs to know; see [`Party::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct PartyBuilder {
    options: Options,
    layout: PartyLayout,
}

/// Taking part. See [`Hold`] for how one learns that one does not any more.
///
/// Dropping it leaves without blocking; [`Membership::leave`] waits until we have left.
#[derive(Debug)]
#[must_use = "dropping the membership leaves the party"]
pub struct Membership {
    grip: Grip,
}

impl Party {
    /// The party at a path, with all defaults. Parents that are missing are created by the first
    /// who joins, as containers.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(client: &Client, path: &str) -> Result<Self, PathError> {
        Self::builder(client, path).build()
    }

    /// Collects what a party needs to know. Our name in it is [`PartyBuilder::data`].
    pub fn builder(client: &Client, path: &str) -> PartyBuilder {
        PartyBuilder { options: Options::new(client, path), layout: PartyLayout::default() }
    }

    /// Joins. Each call is a member of its own.
    ///
    /// # Errors
    /// [`JoinError`]; we take no part then and no node stays.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub fn join(&self) -> Acquire<Membership, JoinError> {
        Acquire::in_line(&self.line, 0, self.margin, |grip| Membership { grip })
    }

    /// The names of all who take part, in no order. Who leaves during the look is left out.
    ///
    /// # Errors
    /// [`InspectError`] when the server does not let us look.
    pub async fn members(&self) -> Result<Vec<String>, InspectError> {
        if self.layout == PartyLayout::KazooShallow {
            let names = self.line.queue().await?.line.into_iter().map(|member| member.name);
            return Ok(names.filter_map(|node| Some(shallow_name(&node)?.to_owned())).collect());
        }
        let members = contenders(&self.line).await?.into_iter().filter(|one| !one.is_foreign);
        Ok(members.map(|one| String::from_utf8_lossy(&one.data).into_owned()).collect())
    }

    /// The party's path.
    pub fn path(&self) -> &ZnodePath {
        self.line.path()
    }
}

impl PartyBuilder {
    /// How nodes are named; [`PartyLayout::Kazoo`] unless set.
    pub const fn layout(mut self, layout: PartyLayout) -> Self {
        self.layout = layout;
        self
    }

    /// The party.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one, or our name cannot be part of a node's.
    pub fn build(self) -> Result<Party, PathError> {
        let Self { options, layout } = self;
        let line = match layout {
            PartyLayout::Kazoo => {
                let naming = Naming::kazoo(Marks::One("__party__")).without_number();
                options.line("party", "", naming, Together)?
            }
            PartyLayout::KazooShallow => shallow_line(&options, "")?,
        };
        Ok(Party { line, layout, margin: options.margin })
    }
}

/// The line of a shallow party below the path that was given. Our name in it are the data.
pub(crate) fn shallow_line(options: &Options, below: &str) -> Result<Line, PathError> {
    let line =
        options.line("party", below, Naming::kazoo(Marks::One("-")).without_number(), Together)?;
    let name = String::from_utf8_lossy(line.data()).into_owned();
    if let Some(at) = name.find('/') {
        return Err(PathError::Character(at));
    }
    line.path().child(&format!("-{name}"))?;
    Ok(line.with_tail(name))
}

/// The name of a member of a shallow party.
// kazoo: ShallowParty.__iter__
pub(crate) fn shallow_name(node: &str) -> Option<&str> {
    node.split_once('-').map(|(_, name)| name)
}

lock_options!(PartyBuilder);

impl Membership {
    /// Leaves, and waits until our node is proven gone, however often the connection breaks.
    ///
    /// # Errors
    /// [`ReleaseError`] when the server refuses; a background task keeps trying.
    ///
    /// # Cancel safety
    /// Dropping the future is as dropping the membership.
    pub async fn leave(mut self) -> Result<(), ReleaseError> {
        self.grip.release().await
    }
}

impl Deref for Membership {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.grip
    }
}
