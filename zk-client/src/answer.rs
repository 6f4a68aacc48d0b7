//! Reading answers: from the bytes of a reply to what an operation returns.

use bytes::Bytes;
use zk_client_core::{Answer, Failure};
use zk_proto::{
    ErrorCode, Stat,
    client::{ChildrenStatResponse, DataResponse},
    jute::{Decode, DecodeError, Expected, Reader, WireStr},
};

use crate::{
    client::{Children, Node},
    error::{ChildrenError, ExistsError, Refusal},
    op::Reply,
};

/// Data from here on shares the memory it arrived in; less is copied out, so that a few bytes kept
/// by the caller do not keep a whole read buffer.
pub(crate) const SHARED_BYTES_MIN: usize = 16 * 1024;

/// An answer to a request for a watch without the watch. Requests and answers belong together, so
/// there is none.
pub(crate) const UNWATCHED: DecodeError =
    DecodeError { offset: 0, expected: Expected::OneOf("watches"), got: 0 };

/// The answer, if it is a good one.
pub(crate) fn good<E: Refusal>(reply: Reply) -> Result<Answer, E> {
    reply.result.map_err(E::of_failure)
}

/// Reads an answer's record.
pub(crate) fn read<'a, T: Decode<'a>>(answer: &'a Answer) -> Result<T, DecodeError> {
    T::decode(&mut Reader::with_length_max(&answer.body, answer.body.len()))
}

pub(crate) fn text(string: WireStr<'_>) -> Result<&str, DecodeError> {
    string.text().ok_or(DecodeError { offset: 0, expected: Expected::Utf8, got: -1 })
}

pub(crate) fn node<E: From<DecodeError>>(answer: &Answer) -> Result<Node, E> {
    let response = read::<DataResponse<'_>>(answer)?;
    Ok(Node { data: data(answer, response.data), stat: response.stat })
}

pub(crate) fn data(answer: &Answer, data: Option<&[u8]>) -> Bytes {
    match data.unwrap_or_default() {
        data if data.len() >= SHARED_BYTES_MIN => answer.body.slice_ref(data),
        data => Bytes::copy_from_slice(data),
    }
}

pub(crate) fn children(answer: &Answer) -> Result<Children, ChildrenError> {
    let response = read::<ChildrenStatResponse<'_>>(answer)?;
    Ok(Children { names: names(response.children)?, stat: response.stat })
}

pub(crate) fn names(children: Vec<WireStr<'_>>) -> Result<Vec<String>, DecodeError> {
    children.into_iter().map(|name| text(name).map(ToOwned::to_owned)).collect()
}

pub(crate) fn found(reply: &Reply) -> Result<Option<Stat>, ExistsError> {
    match &reply.result {
        Ok(answer) => Ok(Some(read::<Stat>(answer)?)),
        Err(Failure::Refused(ErrorCode::NoNode)) => Ok(None),
        Err(failure) => Err(ExistsError::of_failure(*failure)),
    }
}
