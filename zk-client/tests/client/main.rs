//! The client against a scripted server, on virtual time.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod watching;
