//! The nodes above a recipe's own: containers, which the server deletes when they have been left.

use zk_client::{Acl, Client, CreateError, Created, Op, ZnodePath};

/// Makes the path and what is missing above it: containers, or plain nodes where the server knows
/// no containers.
pub(crate) async fn make_containers(
    client: &Client,
    path: &ZnodePath,
    acl: &[Acl],
) -> Result<(), CreateError> {
    let mut missing = vec![path.clone()];
    while let Some(path) = missing.last() {
        match make_one(client, path, acl).await {
            Ok(_) | Err(CreateError::NodeExists { .. }) => drop(missing.pop()),
            Err(error @ CreateError::NoNode { .. }) => match path.parent() {
                Some(parent) => missing.push(parent),
                None => return Err(error),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn make_one(client: &Client, path: &ZnodePath, acl: &[Acl]) -> Result<Created, CreateError> {
    match make_container(client, path, acl).await {
        Err(CreateError::Unimplemented { .. } | CreateError::BadArguments { .. }) => {
            client.create(path, b"").acl(acl).await
        }
        result => result,
    }
}

pub(super) fn make_container(
    client: &Client,
    path: &ZnodePath,
    acl: &[Acl],
) -> Op<Created, CreateError> {
    client.create(path, b"").container().acl(acl).send()
}
