//! Instances as Curator writes and reads them.

use serde_json::{Map, Value};

use super::{
    instance::{InstanceError, ServiceInstance, ServiceType},
    uri::{UriPart, UriSpec},
};

impl ServiceInstance {
    /// Writes the instance as Curator does: compact, in Curator's order, with nulls.
    ///
    /// `enabled` is written only when it is false. Curator's serializer leaves it out unless told
    /// otherwise, and readers take a missing one for true.
    // Curator: JsonInstanceSerializer, OldServiceInstance
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::from);
        let port = |port: Option<u16>| port.map_or(Value::Null, Value::from);
        push(&mut out, "name", &Value::from(self.name.as_str()));
        push(&mut out, "id", &Value::from(self.id.as_str()));
        push(&mut out, "address", &text(&self.address));
        push(&mut out, "port", &port(self.port));
        push(&mut out, "sslPort", &port(self.ssl_port));
        push(&mut out, "payload", self.payload.as_ref().unwrap_or(&Value::Null));
        push(&mut out, "registrationTimeUTC", &Value::from(self.registration_time_ms));
        push(&mut out, "serviceType", &Value::from(self.service_type.name()));
        out.push_str("\"uriSpec\":");
        match &self.uri_spec {
            None => out.push_str("null"),
            Some(spec) => push_spec(&mut out, spec),
        }
        if !self.enabled {
            out.push_str(",\"enabled\":false");
        }
        out.push('}');
        out
    }

    /// Reads an instance that Curator, Spring, Dubbo or this crate has written. Unknown fields are
    /// passed over; missing ones are taken for none, a missing type for dynamic, a missing
    /// `enabled` for true. Only the name and the id must be there.
    ///
    /// # Errors
    /// [`InstanceError`] when it is not JSON, or a known field has another type than Curator gives
    /// it.
    pub fn from_json(json: &[u8]) -> Result<Self, InstanceError> {
        let Value::Object(mut fields) = serde_json::from_slice(json)? else {
            return Err(InstanceError::Field("name"));
        };
        Ok(Self {
            name: text(&mut fields, "name")?.ok_or(InstanceError::Field("name"))?,
            id: text(&mut fields, "id")?.ok_or(InstanceError::Field("id"))?,
            address: text(&mut fields, "address")?,
            port: port(&fields, "port")?,
            ssl_port: port(&fields, "sslPort")?,
            payload: fields.remove("payload").filter(|payload| !payload.is_null()),
            registration_time_ms: match fields.get("registrationTimeUTC") {
                None | Some(Value::Null) => 0,
                Some(time) => time.as_i64().ok_or(InstanceError::Field("registrationTimeUTC"))?,
            },
            service_type: match text(&mut fields, "serviceType")? {
                None => ServiceType::Dynamic,
                Some(name) => {
                    let found = ServiceType::ALL.into_iter().find(|known| known.name() == name);
                    found.ok_or(InstanceError::Field("serviceType"))?
                }
            },
            uri_spec: match fields.get("uriSpec") {
                None | Some(Value::Null) => None,
                Some(spec) => Some(read_spec(spec).ok_or(InstanceError::Field("uriSpec"))?),
            },
            enabled: match fields.get("enabled") {
                None | Some(Value::Null) => true,
                Some(is_enabled) => is_enabled.as_bool().ok_or(InstanceError::Field("enabled"))?,
            },
        })
    }
}

fn push(out: &mut String, key: &str, value: &Value) {
    out.push('"');
    out.push_str(key);
    out.push_str("\":");
    out.push_str(&value.to_string());
    out.push(',');
}

fn push_spec(out: &mut String, spec: &UriSpec) {
    out.push_str("{\"parts\":[");
    for (index, part) in spec.parts.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let value = Value::from(part.value.as_str());
        let pieces = [comma, "{\"value\":", &value.to_string(), ",\"variable\":"];
        out.extend(pieces);
        out.push_str(if part.is_variable { "true}" } else { "false}" });
    }
    out.push_str("]}");
}

fn read_spec(spec: &Value) -> Option<UriSpec> {
    let parts = spec.get("parts")?.as_array()?.iter().map(|part| {
        let value = part.get("value")?.as_str()?.to_owned();
        Some(UriPart { value, is_variable: part.get("variable")?.as_bool()? })
    });
    Some(UriSpec { parts: parts.collect::<Option<_>>()? })
}

fn text(
    fields: &mut Map<String, Value>,
    key: &'static str,
) -> Result<Option<String>, InstanceError> {
    match fields.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(InstanceError::Field(key)),
    }
}

fn port(fields: &Map<String, Value>, key: &'static str) -> Result<Option<u16>, InstanceError> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(port) => {
            let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
            port.map(Some).ok_or(InstanceError::Field(key))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What Curator 5.9 writes.
    const CURATORS: &str = concat!(
        r#"{"name":"svc","id":"i1","address":"10.0.0.1","port":8080,"sslPort":null,"#,
        r#""payload":{"@class":"com.example.Meta","dc":"eu","weight":3},"#,
        r#""registrationTimeUTC":1700000000000,"serviceType":"DYNAMIC","#,
        r#""uriSpec":{"parts":[{"value":"scheme","variable":true},"#,
        r#"{"value":"://","variable":false},{"value":"address","variable":true},"#,
        r#"{"value":":","variable":false},{"value":"port","variable":true}]}}"#,
    );

    fn curators() -> ServiceInstance {
        let instance = ServiceInstance::new("svc").id("i1").address("10.0.0.1").port(8080);
        let instance = instance.payload(&json!({"dc": "eu", "weight": 3})).expect("JSON");
        instance
            .with_java_class("com.example.Meta")
            .registration_time_ms(1_700_000_000_000)
            .uri_spec(UriSpec::new("{scheme}://{address}:{port}"))
    }

    #[test]
    fn an_instance_is_written_byte_for_byte_as_curator_writes_it() {
        assert_eq!(curators().to_json(), CURATORS);
        let bare = ServiceInstance::new("svc").id("i1");
        assert_eq!(
            bare.to_json(),
            concat!(
                r#"{"name":"svc","id":"i1","address":null,"port":null,"sslPort":null,"#,
                r#""payload":null,"registrationTimeUTC":0,"serviceType":"DYNAMIC","uriSpec":null}"#
            )
        );
    }

    #[test]
    fn what_is_written_is_read() {
        for instance in [
            curators(),
            curators().enabled(false).ssl_port(8443).service_type(ServiceType::Permanent),
            ServiceInstance::new("\"quoted\"\n").id("ü"),
        ] {
            let read = ServiceInstance::from_json(instance.to_json().as_bytes()).expect("JSON");
            assert_eq!(read, instance);
        }
    }

    #[test]
    fn what_is_missing_or_unknown_is_tolerated() {
        let read = ServiceInstance::from_json(br#"{"name":"a","id":"b","new":[1,{}]}"#);
        assert_eq!(read.expect("an instance"), ServiceInstance::new("a").id("b"));
        let off = br#"{"enabled":false,"id":"b","name":"a"}"#;
        assert!(!ServiceInstance::from_json(off).expect("an instance").enabled);
    }

    #[test]
    fn what_is_no_instance_is_refused_with_the_field() {
        let refused = |json: &str| match ServiceInstance::from_json(json.as_bytes()) {
            Err(InstanceError::Field(field)) => field,
            Err(InstanceError::Json(_)) => "json",
            Ok(_) => "accepted",
        };
        assert_eq!(refused(""), "json");
        assert_eq!(refused("127.0.0.1"), "json");
        assert_eq!(refused(&"[".repeat(100_000)), "json");
        assert_eq!(refused("[]"), "name");
        assert_eq!(refused(r#"{"name":"a"}"#), "id");
        assert_eq!(refused(r#"{"name":7,"id":"b"}"#), "name");
        assert_eq!(refused(r#"{"name":"a","id":"b","port":70000}"#), "port");
        assert_eq!(refused(r#"{"name":"a","id":"b","port":"80"}"#), "port");
        assert_eq!(refused(r#"{"name":"a","id":"b","enabled":1}"#), "enabled");
        assert_eq!(refused(r#"{"name":"a","id":"b","serviceType":"NEW"}"#), "serviceType");
        assert_eq!(refused(r#"{"name":"a","id":"b","uriSpec":{"parts":[7]}}"#), "uriSpec");
    }

    #[test]
    fn payloads_are_read_with_and_without_javas_class() {
        let with = |payload: Value| {
            let mut instance = ServiceInstance::new("a").id("b");
            instance.payload = Some(payload);
            instance
        };
        let long = with(json!(["java.lang.Long", 7]));
        assert_eq!(long.payload_as::<i64>().expect("a number"), Some(7));
        assert_eq!(long.java_class(), Some("java.lang.Long"));
        let list = with(json!(["java.util.ArrayList", ["a"]]));
        assert_eq!(list.payload_as::<Vec<String>>().expect("a list"), Some(vec!["a".into()]));
        assert_eq!(with(json!("text")).payload_as::<String>().expect("text"), Some("text".into()));
        let plain = with(json!(["a.example", "b.example"]));
        assert_eq!((plain.java_class(), plain.payload_as::<Vec<String>>().is_ok()), (None, true));
        let meta = curators().payload_as::<std::collections::BTreeMap<String, Value>>();
        let meta = meta.expect("an object").expect("a payload");
        assert_eq!(meta.into_keys().collect::<Vec<_>>(), ["dc", "weight"]);
        assert!(curators().payload_as::<u8>().is_err());
    }

    #[test]
    fn a_rewritten_payload_keeps_its_java_class() {
        let rewritten = curators().payload(&json!({"dc": "us"})).expect("JSON");
        assert_eq!(rewritten.payload, Some(json!({"@class": "com.example.Meta", "dc": "us"})));
    }

    #[test]
    fn addresses_are_put_together_by_the_pattern() {
        let instance = curators().ssl_port(8443);
        assert_eq!(instance.uri().as_deref(), Some("https://10.0.0.1:8080"));
        let all = UriSpec::new("{[}{name}/{ id }{]} {service-type} {ssl-port} {unknown}{");
        assert_eq!(all.build(&instance), "{svc/i1} dynamic 8443 {");
        assert_eq!(ServiceInstance::new("a").uri(), None);
    }
}
