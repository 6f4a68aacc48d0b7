//! What became of a write whose answer was lost.
//!
//! ```text
//!   write ──► answer                                                   done, or refused
//!     └─────► connection lost ──► sync, then look for proof ──┬──► it happened        done
//!                                                             ├──► it did not   NotApplied
//!                                                             └──► no proof        unknown
//! ```
//!
//! The sync comes back when the connected server knows everything that was proposed before, so that
//! what was sent over the old connection has been applied by then or never will be: requests left
//! with another server are refused because the session has moved on.
//!
//! Three proofs. A *name* of its own: a sequential node carries a random id that nobody else uses.
//! A *marker*: an ephemeral node with a random name, made by the same transaction; it is there if
//! and only if the rest happened, as long as the session lives. And *nothing new*: a node untouched
//! since the request was made was not touched by it.

use std::fmt::Write as _;

use zk_client_core::Outcome;
use zk_proto::{ErrorCode, Stat, Version, Zxid, client::CreateMode};

use crate::{
    change::{Delete, Set},
    client::Client,
    create::{Create, Created, Draft},
    error::{
        CreateError, DeleteError, MultiError, OperationError, Refusal, RequestError, SetError,
    },
    multi::{Multi, MultiResult},
    op::Op,
    retry::{Retry, is_mendable},
    runtime::Runtime,
    transaction::{Transaction, TransactionResults},
};

/// Makes writes and finds out what became of them when the answer is lost.
///
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_client::Resolver;
///
/// let resolver = Resolver::new(&zk).markers("/app/markers");
/// let job = zk.create("/app/jobs/job-", b"data").sequential();
/// println!("{:?}", resolver.create(job).await?.result);
/// let debit = zk.multi().set("/app/account", b"-5", zk_client::Version::new(7));
/// resolver.commit(debit).await?;
/// # Ok(())
/// # }
/// ```
///
/// Nothing is sent twice. What is proven not to have happened fails with
/// [`RequestError::NotApplied`], which [`crate::is_mendable`] knows: [`crate::Retry::run`] makes it
/// again. What cannot be proven keeps its error, whose outcome is [`Outcome::Unknown`].
///
/// What it makes must have been begun with a handle of the same client, be it of a sub-tree.
///
/// Without [`Resolver::markers`] much stays unknown: that something is as wanted does not say who
/// made it so. Sequential nodes are always found by name.
#[derive(Clone, Debug)]
pub struct Resolver {
    client: Client,
    markers: Option<String>,
    retry: Retry,
}

/// A write that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Done<T> {
    /// What the server answered, or what was found afterwards; `None` when the answer was lost and
    /// others have gone on from there.
    pub result: Option<T>,
    /// The transaction that did it; `None` when the answer was lost and nothing tells.
    pub zxid: Option<Zxid>,
}

impl Resolver {
    /// Looks through `client`, whose tree also holds the markers.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), markers: None, retry: Retry::default() }
    }

    /// Marks writes below `path`, which is created when it is missing, with what is missing above
    /// it, as containers. Each marked write is a transaction with one node more, which is deleted
    /// straight after.
    #[must_use]
    pub fn markers(mut self, path: impl Into<String>) -> Self {
        self.markers = Some(path.into());
        self
    }

    /// How often to look, and at what pauses, before the outcome stays unknown.
    #[must_use]
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Creates a node. The name of a sequential one gets a random id in front, in Curator's form:
    /// `_c_<id>-name0000000007`.
    ///
    /// # Errors
    /// As [`Client::create`], and [`RequestError::NotApplied`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the answer, not the request.
    pub async fn create(&self, create: Create<'_>) -> Result<Done<Created>, CreateError> {
        if create.kind.is_sequential() {
            return self.create_named(create).await;
        }
        let before = self.client.last_zxid();
        if let Some(parent) = &self.markers {
            let (client, draft, path) = (create.client, create.draft(), create.path);
            let multi = client.multi().add_create(&draft);
            let committed = self.commit_marked(multi, parent).await;
            let (results, zxid) = committed.map_err(|error| alone::<CreateError>(error, path))?;
            let stat = match results.as_deref() {
                Some([MultiResult::Created { stat: Some(stat), .. }, ..]) => Some(*stat),
                _ => self.stat_at(client, path, |stat| stat.czxid == zxid).await,
            };
            let created = stat.map(|stat| Created { path: path.to_owned(), stat });
            return Ok(Done { result: created, zxid: Some(zxid) });
        }
        let Create { client, path, .. } = create;
        let error = match create.send().await {
            Ok(created) => return Ok(Done::of(created.stat.czxid, created)),
            Err(error) => error,
        };
        if !is_lost(&error) {
            return Err(error);
        }
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        let parent = if parent.is_empty() { "/" } else { parent };
        match self.look(client, path, |client| client.exists(path)).await {
            // It was there before, so ours was refused if it arrived at all.
            Some(Ok(Some(stat))) if stat.czxid <= before => {
                Err(CreateError::NodeExists { path: path.into() })
            }
            Some(Ok(None)) => {
                match self.look(client, parent, |client| client.exists(parent)).await {
                    // No child came or went since.
                    Some(Ok(Some(stat))) if stat.pzxid <= before => Err(not_applied(path)),
                    Some(_) | None => Err(error),
                }
            }
            Some(_) | None => Err(error),
        }
    }

    /// Sets a node's data.
    ///
    /// # Errors
    /// As [`Client::set`], and [`RequestError::NotApplied`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the answer, not the request.
    pub async fn set(&self, set: Set<'_>) -> Result<Done<Stat>, SetError> {
        let before = self.client.last_zxid();
        let Set { client, path, data, version } = set;
        if let Some(parent) = &self.markers {
            let multi = client.multi().set(path, data, version);
            let committed = self.commit_marked(multi, parent).await;
            let (results, zxid) = committed.map_err(|error| alone::<SetError>(error, path))?;
            let stat = match results.as_deref() {
                Some([MultiResult::Set(stat), ..]) => Some(*stat),
                _ => self.stat_at(client, path, |stat| stat.mzxid == zxid).await,
            };
            return Ok(Done { result: stat, zxid: Some(zxid) });
        }
        let error = match set.send().await {
            Ok(stat) => return Ok(Done::of(stat.mzxid, stat)),
            Err(error) => error,
        };
        if !is_lost(&error) {
            return Err(error);
        }
        match self.look(client, path, |client| client.exists(path)).await {
            // Nobody has set it since.
            Some(Ok(Some(stat))) if stat.mzxid <= before => Err(not_applied(path)),
            // Versions of one node only grow: ours would have made it another.
            Some(Ok(Some(stat)))
                if version != Version::ANY && stat.version == version && stat.czxid <= before =>
            {
                Err(not_applied(path))
            }
            Some(_) | None => Err(error),
        }
    }

    /// Deletes a node. Without markers success after a lost answer says that the node is gone, not
    /// who deleted it.
    ///
    /// # Errors
    /// As [`Client::delete`], and [`RequestError::NotApplied`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the answer, not the request.
    pub async fn delete(&self, delete: Delete<'_>) -> Result<Done<()>, DeleteError> {
        let before = self.client.last_zxid();
        let Delete { client, path, version } = delete;
        if let Some(parent) = &self.markers
            && path != "/"
        {
            let multi = client.multi().delete(path, version);
            let committed = self.commit_marked(multi, parent).await;
            let (_, zxid) = committed.map_err(|error| alone::<DeleteError>(error, path))?;
            return Ok(Done::of(zxid, ()));
        }
        let error = match delete.send().await {
            Ok(()) => return Ok(Done { result: Some(()), zxid: None }),
            Err(error) => error,
        };
        if !is_lost(&error) {
            return Err(error);
        }
        match self.look(client, path, |client| client.exists(path)).await {
            Some(Ok(None)) => Ok(Done { result: Some(()), zxid: None }),
            // The very node that was there.
            Some(Ok(Some(stat))) if stat.czxid <= before => Err(not_applied(path)),
            Some(_) | None => Err(error),
        }
    }

    /// Commits a transaction. Needs [`Resolver::markers`] to find out more than its answer says.
    ///
    /// # Errors
    /// As [`Multi::commit`], and [`RequestError::NotApplied`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the answer, not the request.
    pub async fn commit(&self, multi: Multi) -> Result<Done<Vec<MultiResult>>, MultiError> {
        let Some(parent) = &self.markers else {
            let answer = multi.commit().stamped().await?;
            return Ok(Done { result: Some(answer.value), zxid: None });
        };
        let (results, zxid) = self.commit_marked(multi, parent).await?;
        Ok(Done { result: results, zxid: Some(zxid) })
    }

    /// Commits a transaction with typed results; see [`Resolver::commit`].
    ///
    /// # Errors
    /// As [`Transaction::commit`], and [`RequestError::NotApplied`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the answer, not the request.
    pub async fn commit_typed<R: TransactionResults>(
        &self,
        transaction: Transaction<R>,
    ) -> Result<Done<R>, MultiError> {
        let Done { result, zxid } = self.commit(transaction.into_multi()).await?;
        let result = result.map(Transaction::<R>::taken).transpose()?;
        Ok(Done { result, zxid })
    }

    /// Creates a sequential node under a name that nobody else uses.
    async fn create_named(&self, create: Create<'_>) -> Result<Done<Created>, CreateError> {
        let asked = create.path;
        let Some((parent, name)) = asked.rsplit_once('/') else {
            return create.send().await.map(|created| Done::of(created.stat.czxid, created));
        };
        let prefix = format!("_c_{}-{name}", id(&**self.client.runtime()));
        let path = format!("{parent}/{prefix}");
        let parent = if parent.is_empty() { "/" } else { parent };
        let is_ephemeral = create.kind == CreateMode::EphemeralSequential;
        // An ephemeral node goes with its session, and so does the question.
        let bound = create.client.this_session();
        let create = create.instead(&bound, &path);
        let error = match create.send().await {
            Ok(created) => return Ok(Done::of(created.stat.czxid, created)),
            Err(error) => error,
        };
        if !is_lost(&error) {
            return Err(error);
        }
        let client = if is_ephemeral { bound } else { self.client.in_tree_of(&bound) };
        let found = look(&client, self.retry, parent, |client| client.children(parent)).await;
        let names = match found {
            Some(Ok(children)) => children.names,
            Some(Err(_)) | None => return Err(error),
        };
        let Some(name) = names.into_iter().find(|name| name.starts_with(&prefix)) else {
            return Err(not_applied(asked));
        };
        let path = if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") };
        match look(&client, self.retry, &path, |client| client.exists(&path)).await {
            Some(Ok(Some(stat))) => Ok(Done::of(stat.czxid, Created { path, stat })),
            Some(_) | None => Ok(Done { result: None, zxid: None }),
        }
    }

    /// Commits a transaction with a marker. Answers its results, unless the answer was lost, and
    /// the transaction.
    async fn commit_marked(
        &self,
        multi: Multi,
        parent: &str,
    ) -> Result<(Option<Vec<MultiResult>>, Zxid), MultiError> {
        let count = multi.len();
        // The marker goes with its session, and so does the question.
        let asked = multi.client().this_session();
        let client = asked.in_tree_of(&self.client);
        let mut has_parent = false;
        loop {
            let name = format!("_m_{}", id(&**client.runtime()));
            let path = if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") };
            let draft =
                Draft { path: &path, data: b"", mode: CreateMode::Ephemeral, ttl: None, acl: None };
            let multi = multi.clone().on(&client).add_create(&draft).on(&asked);
            let marker = Marker { client: client.clone(), path };
            let error = match multi.commit().stamped().await {
                Ok(answer) => {
                    let mut results = answer.value;
                    let zxid = match results.pop() {
                        Some(MultiResult::Created { stat: Some(stat), .. }) => stat.czxid,
                        // Servers before 3.9 do not say; the marker itself does.
                        _ => match look(&client, self.retry, &marker.path, |client| {
                            client.exists(&marker.path)
                        })
                        .await
                        {
                            Some(Ok(Some(stat))) => stat.czxid,
                            Some(_) | None => answer.zxid,
                        },
                    };
                    return Ok((Some(results), zxid));
                }
                Err(error) => error,
            };
            match &error {
                MultiError::Failed { index, code: ErrorCode::NoNode, .. }
                    if *index == count && !has_parent =>
                {
                    has_parent = true;
                    marker.forget();
                    match make_containers(&client, parent).await {
                        Ok(()) => continue,
                        Err(_) => return Err(error),
                    }
                }
                MultiError::Failed { .. } => {
                    marker.forget();
                    return Err(error);
                }
                MultiError::Request(_) => {}
            }
            if !is_lost(&error) {
                return Err(error);
            }
            let found =
                look(&client, self.retry, &marker.path, |client| client.exists(&marker.path)).await;
            return match found {
                Some(Ok(Some(stat))) => Ok((None, stat.czxid)),
                Some(Ok(None)) => Err(RequestError::NotApplied.into()),
                Some(Err(_)) | None => Err(error),
            };
        }
    }

    /// The stat of a node, if it is the one wanted.
    async fn stat_at(
        &self,
        asked: &Client,
        path: &str,
        is_wanted: impl Fn(&Stat) -> bool,
    ) -> Option<Stat> {
        match self.look(asked, path, |client| client.exists(path)).await {
            Some(Ok(stat)) => stat.filter(is_wanted),
            Some(Err(_)) | None => None,
        }
    }

    /// Looks in the tree of the handle that the request was begun with.
    async fn look<T, E: OperationError>(
        &self,
        asked: &Client,
        path: &str,
        read: impl Fn(&Client) -> Op<T, E>,
    ) -> Option<Result<T, E>> {
        look(&self.client.in_tree_of(asked), self.retry, path, read).await
    }
}

impl<T> Done<T> {
    const fn of(zxid: Zxid, result: T) -> Self {
        Self { result: Some(result), zxid: Some(zxid) }
    }
}

/// A marker that may be there. Dropped, it is deleted by a task of the client's runtime, unless the
/// session, which takes it along, is over before.
struct Marker {
    client: Client,
    path: String,
}

impl Marker {
    /// It was not made.
    fn forget(mut self) {
        self.path.clear();
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        if self.path.is_empty() || self.client.state().end().is_some() {
            return;
        }
        let (client, path) = (self.client.clone(), std::mem::take(&mut self.path));
        let runtime = std::sync::Arc::clone(client.runtime());
        // Takes its place here, right behind the transaction.
        let mut deletion = client.delete(&path).send();
        runtime.spawn(Box::pin(async move {
            let mut pauses = Retry::default().attempts_max(u32::MAX).pauses();
            while let Err(error) = deletion.await {
                if error.session_end().is_some() || !is_passing(&error) {
                    break;
                }
                let Some(pause) = pauses.next(&**client.runtime()) else { break };
                client.runtime().sleep_until(client.runtime().now() + pause).await;
                deletion = client.delete(&path).send();
            }
        }));
    }
}

/// Makes a node and what is missing above it, as containers.
async fn make_containers(client: &Client, path: &str) -> Result<(), CreateError> {
    let mut missing = vec![path];
    while let Some(&path) = missing.last() {
        match client.create(path, b"").container().await {
            Ok(_) | Err(CreateError::NodeExists { .. }) => drop(missing.pop()),
            Err(error @ CreateError::NoNode { .. }) => match path.rsplit_once('/') {
                Some((parent, _)) if !parent.is_empty() => missing.push(parent),
                Some(_) | None => return Err(error),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads behind a sync, until there is an answer; `None` when there is none.
async fn look<T, E: OperationError>(
    client: &Client,
    retry: Retry,
    path: &str,
    read: impl Fn(&Client) -> Op<T, E>,
) -> Option<Result<T, E>> {
    let mut pauses = retry.pauses();
    loop {
        // The read takes its place right behind the sync: one round trip for both.
        let (synced, read) = (client.sync(path), read(client));
        let is_passing = match synced.await {
            Ok(()) => match read.await {
                Err(error) if is_passing(&error) => true,
                result => return Some(result),
            },
            Err(error) => is_passing(&error),
        };
        if !is_passing {
            return None;
        }
        let pause = pauses.next(&**client.runtime())?;
        client.runtime().sleep_until(client.runtime().now() + pause).await;
    }
}

/// Whether it may go better next time.
fn is_passing(error: &impl OperationError) -> bool {
    is_mendable(error)
        || error.code() == Some(ErrorCode::NotReadOnly)
        || (error.outcome() == Outcome::Unknown && error.session_end().is_none())
}

/// Whether nobody knows what became of it, and there is somebody to ask.
fn is_lost(error: &impl OperationError) -> bool {
    error.outcome() == Outcome::Unknown
}

fn not_applied<E: Refusal>(path: &str) -> E {
    E::from(RequestError::NotApplied).at(path.into())
}

/// The error of a transaction as that of its only operation.
fn alone<E: Refusal>(error: MultiError, path: &str) -> E {
    let error = match error {
        MultiError::Failed { index: 0, code, .. }
        | MultiError::Request(RequestError::Refused(code)) => {
            E::of_code(code).unwrap_or_else(|| RequestError::Refused(code).into())
        }
        // The marker was refused.
        MultiError::Failed { code, .. } => RequestError::Refused(code).into(),
        MultiError::Request(error) => error.into(),
    };
    error.at(path.into())
}

/// A random name for one use.
fn id(runtime: &dyn Runtime) -> String {
    let mut id = String::with_capacity(36);
    let (high, low) = (runtime.random(), runtime.random());
    // Curator's form: 8-4-4-4-12 hexadecimal digits.
    let _ = write!(
        id,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    );
    id
}
