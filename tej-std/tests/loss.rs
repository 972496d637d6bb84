//! `tej` over real TCP on a network that loses an eighth of all packets, in a network namespace of its own.
//!
//! Built only with the feature `loss`; `cargo xtask test` installs nftables and turns it on.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::process::Command;

use common::{json_lines, sha256_bytes};

/// Both ends in a namespace in which nobody else is, so that the port is free and nothing else is disturbed.
const SCRIPT: &str = r#"
set -e
PATH="$PATH:/usr/sbin:/sbin"
ip link set lo mtu 1500 gso_max_segs 1 up
nft -f - <<RULES
table inet lossy {
  chain input {
    type filter hook input priority 0;
    tcp dport 7077 numgen random mod 8 == 0 counter drop;
    tcp sport 7077 numgen random mod 8 == 0 counter drop;
  }
}
RULES
"$TEJ" recv --listen 127.0.0.1:7077 --frames 2 --dir "$DIR/inbox" --digest --json --timeout 120 > "$DIR/received" &
until grep -q listening "$DIR/received"; do sleep 0.05; done
"$TEJ" send 127.0.0.1:7077 "$DIR/file" -m first --timeout 120
"$TEJ" send 127.0.0.1:7077 "$DIR/file" -m second --timeout 120
wait $!
nft list chain inet lossy input > "$DIR/rules"
"#;

#[test]
fn an_eighth_of_all_packets_lost_changes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..1_u32 << 18).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    fs::write(scratch.path().join("file"), &content).unwrap();
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", SCRIPT])
        .env("TEJ", env!("CARGO_BIN_EXE_tej"))
        .env("DIR", scratch.path())
        .output()
        .expect("unshare, of util-linux, is needed");
    assert!(output.status.success(), "{output:?}");
    let events = json_lines(&fs::read(scratch.path().join("received")).unwrap());
    let digest = common::hex(&sha256_bytes(&content));
    let files: Vec<_> = events.iter().filter(|event| event["event"] == "file").collect();
    assert_eq!(files.len(), 2, "{events:?}");
    assert!(files.iter().all(|file| file["sha256"] == digest.as_str()), "{events:?}");
    for name in ["file", "file (1)"] {
        assert!(fs::read(scratch.path().join("inbox").join(name)).unwrap() == content, "{name} differs");
    }
    // Without loss it shows nothing.
    let rules = fs::read_to_string(scratch.path().join("rules")).unwrap();
    let dropped: u64 = rules
        .split("counter packets ")
        .skip(1)
        .map(|rule| rule.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert!(dropped > 10, "{rules}");
}
