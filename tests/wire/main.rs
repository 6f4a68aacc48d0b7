//! The bytes of our server beside those of Apache 3.9.5: the same requests to both, the replies
//! compared after times, session ids and passwords are taken out.
//!
//! ```text
//!  replay     every conversation captured from Apache
//!  sweep      every operation with every kind of path, mode, list and version; requests cut short
//!  words      the shape of what four-letter words answer
//!  throttles  what is too much, and what the counters say
//!  enforced   who must say who they are first
//!  malformed  bad input, each row of the list of bad input by its number
//! ```

mod enforced;
mod malformed;
mod pair;
mod replay;
mod sweep;
mod throttles;
mod words;
