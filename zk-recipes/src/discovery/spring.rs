//! Instances that Spring Cloud `ZooKeeper` has registered.
//!
//! Spring uses Curator's layout, usually at `/services`, with one address pattern and a payload of
//! its own class. What it wants to say of an instance stands in the payload's metadata.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ServiceInstance, UriSpec};

/// Where Spring Cloud registers unless configured.
pub const BASE: &str = "/services";

/// The class of Spring Cloud's payloads.
pub const CLASS: &str = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance";

/// The key of the metadata that says whether an instance is up.
const STATUS: &str = "instance_status";

/// What Spring Cloud says of an instance.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SpringInstance {
    /// The instance's id, as Spring names it.
    pub id: String,
    /// The application.
    pub name: String,
    /// Whatever else was configured.
    pub metadata: BTreeMap<String, String>,
}

impl SpringInstance {
    /// What Spring says of an instance; `None` when its payload is not Spring's. Metadata that is
    /// no text is left out.
    pub fn of(instance: &ServiceInstance) -> Option<Self> {
        let payload = instance.payload.as_ref().filter(|_| instance.java_class() == Some(CLASS))?;
        let text = |key: &str| payload.get(key).and_then(Value::as_str).unwrap_or_default();
        let metadata = payload.get("metadata").and_then(Value::as_object);
        let metadata = metadata
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        Some(Self {
            id: text("id").into(),
            name: text("name").into(),
            // Java's maps name their class among their keys.
            metadata: metadata.filter(|(key, _)| key != super::instance::CLASS).collect(),
        })
    }

    /// Whether the instance says that it is up, or says nothing.
    pub fn is_up(&self) -> bool {
        self.metadata.get(STATUS).is_none_or(|status| status == "UP")
    }

    /// Puts this into an instance, so that Spring reads it as one of its own.
    #[must_use]
    pub fn put_into(&self, mut instance: ServiceInstance) -> ServiceInstance {
        instance.payload = Some(json!({
            super::instance::CLASS: CLASS,
            "id": self.id,
            "name": self.name,
            "metadata": self.metadata,
        }));
        instance.uri_spec(UriSpec::plain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spring_has_written_is_read() {
        let json = concat!(
            r#"{"name":"app","id":"u","address":"h","port":80,"sslPort":null,"payload":"#,
            r#"{"@class":"org.springframework.cloud.zookeeper.discovery.ZookeeperInstance","#,
            r#""id":"application-1","name":"app","metadata":{"instance_status":"OUT_OF_SERVICE","#,
            r#""zone":"eu","@class":"java.util.LinkedHashMap"}},"registrationTimeUTC":1,"#,
            r#""serviceType":"DYNAMIC","uriSpec":null}"#
        );
        let instance = ServiceInstance::from_json(json.as_bytes()).expect("an instance");
        let spring = SpringInstance::of(&instance).expect("Spring's");
        assert_eq!((&*spring.id, spring.is_up()), ("application-1", false));
        assert_eq!(spring.metadata.get("zone").map(String::as_str), Some("eu"));
        assert_eq!(spring.metadata.len(), 2);
        assert_eq!(SpringInstance::of(&spring.put_into(instance)), Some(spring));
        assert_eq!(SpringInstance::of(&ServiceInstance::new("other")), None);
    }
}
