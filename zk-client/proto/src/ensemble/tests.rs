use alloc::{format, string::ToString};

use super::*;

fn problem(text: &str) -> Problem {
    EnsembleConfig::parse(text).expect_err(text).problem
}

fn id(number: i64) -> ServerId {
    ServerId::new(number)
}

#[test]
fn the_text_of_an_ensemble_survives_reading_and_writing() {
    let text = "server.1=127.0.0.1:22821:22831:participant;127.0.0.1:22811\n\
                server.2=zk2.example:2888:3888:participant\n\
                server.3=[fe80::1%eth0]:2888:3888:observer;[::1]:2181\n\
                version=100000000";
    let config = EnsembleConfig::parse(text).expect("legal");
    assert_eq!(config.to_string(), text);
    assert_eq!(config.version(), Zxid::new(0x1_0000_0000));
    assert_eq!(config.voters().map(|voter| voter.id).collect::<Vec<_>>(), [id(1), id(2)]);
    assert!(!config.is_voter(id(3)));
    assert_eq!(
        config.members()[&id(3)].addresses()[0].election().to_string(),
        "[fe80::1%eth0]:3888"
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = EnsembleConfig::parse("server.5=h:1:2;2181").expect("legal");
    let member = &config.members()[&id(5)];
    assert_eq!(member.kind, MemberKind::Participant);
    assert_eq!(member.to_string(), "h:1:2:participant;0.0.0.0:2181");
    assert!(member.client.as_ref().is_some_and(HostPort::is_wildcard));
    assert_eq!(config.version(), Zxid::ZERO);
    assert_eq!(config.weight(id(5)), 1);
}

#[test]
fn several_addresses_are_one_member_and_one_role() {
    let config = EnsembleConfig::parse("server.1=b:1:2|a:3:4:Participant;2181").expect("legal");
    assert_eq!(config.members()[&id(1)].to_string(), "a:3:4|b:1:2:participant;0.0.0.0:2181");
    assert!(config.has_address_lists());
    assert_eq!(problem("server.1=a:1:2:observer|b:1:2:participant"), Problem::TwoRoles);
}

#[test]
fn one_ipv6_address_is_equal_however_it_is_written() {
    let java = EnsembleConfig::parse("server.1=[0:0:0:0:0:0:0:1]:1:2").expect("legal");
    let ours = EnsembleConfig::parse("server.1=[::1]:1:2").expect("legal");
    assert_eq!(java, ours);
    assert_eq!(problem("server.1=[::g]:1:2"), Problem::Host);
    assert_eq!(problem("server.1=[::1%]:1:2"), Problem::Host);
}

#[test]
fn groups_and_weights_survive_reading_and_writing() {
    let text = "server.1=a:1:2:participant\nserver.2=b:1:2:participant\n\
                server.3=c:1:2:participant\ngroup.1=1:2\ngroup.2=3\n\
                weight.1=1\nweight.2=0\nweight.3=5\nversion=0";
    let config = EnsembleConfig::parse(text).expect("legal");
    assert_eq!(config.to_string(), text);
    assert_eq!((config.weight(id(2)), config.weight(id(3)), config.weight(id(9))), (0, 5, 0));
    let groups = config.groups().expect("grouped");
    assert_eq!((groups.group_of(id(2)), groups.group_of(id(9))), (Some(1), None));
}

#[test]
fn a_voter_in_no_group_or_in_two_is_refused() {
    let two = "server.1=a:1:2\nserver.2=b:1:2\n";
    assert_eq!(problem(&format!("{two}group.1=1")), Problem::NoGroup(id(2)));
    assert_eq!(problem(&format!("{two}group.1=1:2\ngroup.2=2")), Problem::InTwoGroups(id(2)));
    assert_eq!(problem(&format!("{two}group.1=1:2:3")), Problem::NoWeight(id(3)));
    assert_eq!(problem(&format!("{two}group.1=1:2\nweight.1=-1")), Problem::Number);
}

#[test]
fn every_mistake_has_its_name() {
    let cases = [
        ("", Problem::NoVoter),
        ("server.1=a:1:2:observer", Problem::NoVoter),
        ("server.1=a:1:2\nserver.1=a:1:2", Problem::Repeated),
        ("server.x=a:1:2", Problem::Number),
        ("server.1=a:1", Problem::ServerForm),
        ("server.1=a", Problem::ServerForm),
        ("server.1=a:1:2:observer:3", Problem::ServerForm),
        ("server.1=a:1:2:leader", Problem::Role),
        ("server.1=a:1:1", Problem::SamePort),
        ("server.1=a:1:65536", Problem::Number),
        ("server.1=:1:2", Problem::Host),
        ("server.1=a b:1:2", Problem::Host),
        ("server.1=[::1]:1:2;[::1]", Problem::ClientForm),
        ("server.1=a:1:2;3;4", Problem::ClientForm),
        ("server.1=a:1:2;;4", Problem::ClientForm),
        ("server.1=a:1:2;h:x", Problem::ClientForm),
        ("server.1=a:1:2\nversion=xyz", Problem::Number),
        ("server.1=a:1:2\nversion=-1", Problem::Number),
        ("server.1=a:1:2\ndataDir=/tmp", Problem::UnknownKey),
        ("server.1=a:1:2\ngroup=1", Problem::UnknownKey),
    ];
    for (text, expected) in cases {
        assert_eq!(problem(text), expected, "{text}");
    }
}

#[test]
fn an_error_names_its_key_on_one_line() {
    let error = EnsembleConfig::parse("server.1\\nfoo=a:1:2").expect_err("no number");
    assert_eq!(error.to_string(), "server.1\\nfoo: expected a number");
}

#[test]
fn a_whole_configuration_file_will_do() {
    let text = "# comment\n! another\n\ntickTime=2000\n  server.1 = a:1:\\\n   2\nserver.2:b:1:2\n\
                dataDir=C\\:\\\\zk\r\nlast";
    let all = pairs(text);
    assert_eq!(all[3], ("dataDir".to_string(), "C:\\zk".to_string()));
    assert_eq!(all[4], ("last".to_string(), String::new()));
    let config = EnsembleConfig::from_pairs(all.iter().map(|(k, v)| (&**k, &**v))).expect("legal");
    assert_eq!(config.voters().count(), 2);
}

#[test]
fn members_are_compared_without_the_version() {
    let one = EnsembleConfig::parse("server.1=a:1:2\nversion=1").expect("legal");
    let two = one.clone().with_version(Zxid::new(2));
    assert_ne!(one, two);
    assert!(one.has_same_members(&two));
    let moved = EnsembleConfig::parse("server.1=a:1:3\nversion=1").expect("legal");
    assert!(!one.has_same_members(&moved));
}

#[test]
fn no_text_panics() {
    let text =
        "server.1=[::1]:1:2:observer|b:3:4;[::2]:5\\u00e9\ngroup.1=1:2\nweight.2=3\nversion=f";
    for start in 0..text.len() {
        for end in start..=text.len() {
            let _ = EnsembleConfig::parse(&text[start..end]);
        }
    }
    for c in ['\\', ':', '|', ';', '[', ']', '=', '\n', '\u{e9}', '%'] {
        for at in 0..text.len() {
            let mut spoiled = String::from(text);
            spoiled.replace_range(at..=at, &c.to_string());
            let _ = EnsembleConfig::parse(&spoiled);
        }
    }
}
