//! Transactions whose results have types of their own.
//!
//! [`crate::Multi`] with a memory: the type of a [`Transaction`] lists what each of its operations
//! will answer, so that the answer is taken apart without looking what it is.

use std::{fmt, marker::PhantomData, time::Duration};

use zk_proto::{Acl, Stat, Version, client::CreateMode};

use crate::{
    client::Client,
    error::MultiError,
    multi::{Multi, MultiResult, UNEXPECTED, multi},
    op::{Op, Reply},
};

/// Up to twelve writes that happen all or not at all, at one moment; see [`Client::transaction`].
///
/// Each operation sees what the ones before it did. `R` is a tuple of what they answer, in order:
/// [`Made`] for a create, [`Stat`] for a set, `()` for a delete or a check. For more operations
/// than twelve, or a number that is not known before, there is [`Multi`].
///
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_client::{CreateMode, Version};
///
/// let transfer = zk
///     .transaction()
///     .set("/accounts/alice", b"70", Version::new(4))
///     .set("/accounts/bob", b"30", Version::new(9))
///     .create("/ledger/entry-", b"alice bob 30", CreateMode::PersistentSequential);
/// let (alice, bob, entry) = transfer.commit().await?;
/// println!("{} at versions {} and {}", entry.path, alice.version, bob.version);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens before it is committed"]
pub struct Transaction<R = ()> {
    multi: Multi,
    results: PhantomData<fn() -> R>,
}

/// A node that a transaction created.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Made {
    /// Its path, with the number behind the name if it is sequential.
    pub path: String,
    /// Its stat. Servers before 3.9 do not say it of plain nodes created in a transaction.
    pub stat: Option<Stat>,
}

/// What a transaction answers: a tuple of [`TransactionResult`]s.
pub trait TransactionResults: Sized + Send + 'static {
    /// Takes an answer apart; `None` when it is the answer to something else.
    fn taken(results: Vec<MultiResult>) -> Option<Self>;
}

/// What a transaction answers as long as there is room for one result more.
pub trait TransactionRoom: TransactionResults {
    /// The same with one result more.
    type And<T: TransactionResult>: TransactionResults;
}

/// What one operation of a transaction answers.
pub trait TransactionResult: Sized + Send + 'static {
    /// Takes it out of a result; `None` when that is another operation's.
    fn taken(result: MultiResult) -> Option<Self>;
}

impl Client {
    /// Several writes, all or none, each with a result of its own type.
    pub fn transaction(&self) -> Transaction {
        Transaction { multi: self.multi(), results: PhantomData }
    }
}

impl<R: TransactionRoom> Transaction<R> {
    /// Creates a node, open to everybody.
    pub fn create(self, path: &str, data: &[u8], mode: CreateMode) -> Transaction<R::And<Made>> {
        self.add(|multi| multi.create(path, data, mode))
    }

    /// Creates a node with an access control list.
    pub fn create_with_acl(
        self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
        acl: &[Acl],
    ) -> Transaction<R::And<Made>> {
        self.add(|multi| multi.create_with_acl(path, data, mode, acl))
    }

    /// Creates a node with a time to live, open to everybody; see [`crate::Create::ttl`].
    pub fn create_with_ttl(
        self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
        ttl: Duration,
    ) -> Transaction<R::And<Made>> {
        self.add(|multi| multi.create_with_ttl(path, data, mode, ttl))
    }

    /// Deletes a node, if it has this version ([`Version::ANY`] for any).
    pub fn delete(self, path: &str, version: Version) -> Transaction<R::And<()>> {
        self.add(|multi| multi.delete(path, version))
    }

    /// Sets a node's data, if it has this version ([`Version::ANY`] for any).
    pub fn set(self, path: &str, data: &[u8], version: Version) -> Transaction<R::And<Stat>> {
        self.add(|multi| multi.set(path, data, version))
    }

    /// Makes the others depend on a node's presence and version ([`Version::ANY`] for its mere
    /// presence).
    pub fn check(self, path: &str, version: Version) -> Transaction<R::And<()>> {
        self.add(|multi| multi.check(path, version))
    }

    fn add<T: TransactionResult>(self, add: impl FnOnce(Multi) -> Multi) -> Transaction<R::And<T>> {
        Transaction { multi: add(self.multi), results: PhantomData }
    }
}

impl<R: TransactionResults> Transaction<R> {
    /// Takes its place in the session's order. Answers what each operation did.
    ///
    /// # Errors
    /// [`MultiError::Failed`] names the first operation that was refused; none has happened then.
    pub fn commit(self) -> Op<R, MultiError> {
        self.multi.commit_as(|reply: Reply| Ok(R::taken(multi(reply)?).ok_or(UNEXPECTED)?))
    }

    /// The same operations without their types.
    pub fn into_multi(self) -> Multi {
        self.multi
    }

    /// What the answer to [`Self::into_multi`] says.
    pub(crate) fn taken(results: Vec<MultiResult>) -> Result<R, MultiError> {
        Ok(R::taken(results).ok_or(UNEXPECTED)?)
    }
}

impl<R> Clone for Transaction<R> {
    fn clone(&self) -> Self {
        Self { multi: self.multi.clone(), results: PhantomData }
    }
}

impl<R> fmt::Debug for Transaction<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("count", &self.multi.len()).finish_non_exhaustive()
    }
}

impl TransactionResult for Made {
    fn taken(result: MultiResult) -> Option<Self> {
        match result {
            MultiResult::Created { path, stat } => Some(Self { path, stat }),
            MultiResult::Deleted | MultiResult::Set(_) | MultiResult::Checked => None,
        }
    }
}

impl TransactionResult for Stat {
    fn taken(result: MultiResult) -> Option<Self> {
        match result {
            MultiResult::Set(stat) => Some(stat),
            MultiResult::Created { .. } | MultiResult::Deleted | MultiResult::Checked => None,
        }
    }
}

impl TransactionResult for () {
    fn taken(result: MultiResult) -> Option<Self> {
        match result {
            MultiResult::Deleted | MultiResult::Checked => Some(()),
            MultiResult::Created { .. } | MultiResult::Set(_) => None,
        }
    }
}

/// Tuples of the results of 0, 1, 2 … operations. The longest has no room for another.
macro_rules! tuples {
    ($($part:ident)* ; $next:ident $($rest:ident)*) => {
        tuples!(@taken $($part)*);
        impl<$($part: TransactionResult),*> TransactionRoom for ($($part,)*) {
            type And<$next: TransactionResult> = ($($part,)* $next,);
        }
        tuples!($($part)* $next ; $($rest)*);
    };
    ($($part:ident)* ;) => {
        tuples!(@taken $($part)*);
    };
    (@taken $($part:ident)*) => {
        impl<$($part: TransactionResult),*> TransactionResults for ($($part,)*) {
                        fn taken(results: Vec<MultiResult>) -> Option<Self> {
                let mut results = results.into_iter();
                let taken = ($($part::taken(results.next()?)?,)*);
                results.next().is_none().then_some(taken)
            }
        }
    };
}

tuples!(; A B C D E F G H I J K L);
