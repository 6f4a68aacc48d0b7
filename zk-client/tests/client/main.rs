//! The client against a scripted server, on virtual time.

#[cfg(test)]
mod connecting;
#[cfg(test)]
mod epochs;
#[cfg(test)]
mod fake;
#[cfg(all(test, feature = "metrics"))]
mod metering;
#[cfg(test)]
mod observing;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod rearming;
#[cfg(test)]
mod reconfiguring;
#[cfg(test)]
mod spans;
#[cfg(feature = "dns-srv")]
#[cfg(test)]
mod srv;
#[cfg(all(test, feature = "tls"))]
mod tls;
#[cfg(all(test, feature = "serde"))]
mod values;
#[cfg(test)]
mod watching;
