//! Whole sub-trees: to live in, to create the way to, to delete.

use std::sync::Arc;

use zk_proto::{PathError, ZnodePath, path::Chroot};

use crate::{
    client::Client,
    error::{ChildrenError, CreateError, DeleteError},
    op::Scope,
};

/// How often the deletion of a sub-tree looks again because others have created nodes in it.
const DELETION_ROUNDS_MAX: usize = 16;

/// How many requests the deletion of a sub-tree makes at once.
const DELETION_REQUESTS_MAX: usize = 256;

impl Client {
    /// The same session with the sub-tree at `path` for the whole tree, as if it were in the
    /// connection string. The node is not created.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn sub_tree(&self, path: &str) -> Result<Self, PathError> {
        let inside = self.inside(path)?;
        let shared = Arc::clone(&self.scope.shared);
        let chroot = Chroot::new(&ZnodePath::new(&inside)?);
        let session = self.scope.session.clone();
        Ok(Self { scope: Arc::new(Scope { shared, chroot, session }), ..self.clone() })
    }

    /// Creates a persistent node without data and every node that is missing on the way to it, open
    /// to everybody. What is there already is left as it is.
    ///
    /// # Errors
    /// As [`Client::create`], apart from `NodeExists` and `NoNode`; parts of the way may have been
    /// created. It may be tried again whatever the outcome.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; parts of the way may have been created.
    pub async fn create_path(&self, path: &str) -> Result<(), CreateError> {
        let mut missing = vec![path];
        while let Some(&path) = missing.last() {
            match self.create(path, b"").await {
                Ok(_) | Err(CreateError::NodeExists { .. }) => drop(missing.pop()),
                // A chroot that is missing has no way to it from inside.
                Err(error @ CreateError::NoNode { .. }) => match path.rsplit_once('/') {
                    Some((parent, _)) if !parent.is_empty() => missing.push(parent),
                    Some(_) | None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Deletes a node and everything below it, whatever the versions, and counts what it deleted. A
    /// node that is not there is no error.
    ///
    /// This is not one transaction: others may see part of it gone, and nodes that others create
    /// meanwhile are deleted too.
    ///
    /// # Errors
    /// As [`Client::delete`], apart from `NoNode`; `NotEmpty` when others keep creating nodes
    /// faster
    /// than they are deleted. Part of the tree may be gone. It may be tried again whatever the
    /// outcome.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; part of the tree may be gone.
    pub async fn delete_all(&self, path: &str) -> Result<u64, DeleteError> {
        if path == "/" {
            // Nobody deletes a root, be it the tree's or the chroot's.
            return Err(DeleteError::BadArguments { path: path.into() });
        }
        let mut count = 0;
        let mut rounds = 0;
        loop {
            let tree = self.list_all(path).await?;
            match self.delete_in_turn(&tree, &mut count).await {
                Err(error @ DeleteError::NotEmpty { .. }) => {
                    rounds += 1;
                    if rounds == DELETION_ROUNDS_MAX {
                        return Err(error);
                    }
                }
                result => return result.map(|()| count),
            }
        }
    }

    /// A node and everything below it, parents before their children.
    async fn list_all(&self, path: &str) -> Result<Vec<String>, DeleteError> {
        let mut all = vec![path.to_owned()];
        let mut listed = 0;
        while listed < all.len() {
            let end = all.len().min(listed + DELETION_REQUESTS_MAX);
            let asked: Vec<_> = all.drain(listed..end).collect();
            let listings: Vec<_> = asked.iter().map(|path| self.children(path)).collect();
            let mut found = Vec::new();
            let mut there = Vec::new();
            for (path, listing) in asked.into_iter().zip(listings) {
                match listing.await {
                    Ok(children) => {
                        let parent = if path == "/" { "" } else { &*path };
                        found.extend(children.names.iter().map(|name| format!("{parent}/{name}")));
                        there.push(path);
                    }
                    Err(ChildrenError::NoNode { .. }) => {}
                    Err(ChildrenError::NoAuth { path }) => {
                        return Err(DeleteError::NoAuth { path });
                    }
                    Err(ChildrenError::Request { path, error }) => {
                        return Err(DeleteError::Request { path, error });
                    }
                }
            }
            let behind = all.split_off(listed);
            all.extend(there);
            listed = all.len();
            all.extend(behind);
            all.extend(found);
        }
        Ok(all)
    }

    /// Deletes nodes, the last first.
    async fn delete_in_turn(&self, tree: &[String], count: &mut u64) -> Result<(), DeleteError> {
        for some in tree.rchunks(DELETION_REQUESTS_MAX) {
            // One behind the other on one connection: children go before their parents.
            let deletions: Vec<_> =
                some.iter().rev().map(|path| self.delete(path).send()).collect();
            let mut failed = None;
            for deletion in deletions {
                match deletion.await {
                    Ok(()) => *count += 1,
                    Err(DeleteError::NoNode { .. }) => {}
                    Err(error) => drop(failed.get_or_insert(error)),
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }
}
