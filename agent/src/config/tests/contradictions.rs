//! Files whose form is right and that make no sense, with the exact words that each gets.

use expect_test::{Expect, expect};

use super::{Folder, SMALL, check, check_more};

#[test]
fn names() {
    check(
        "name = \"mi-1\"",
        "name = \"sql-1\"",
        &expect![[r#"
        agent.toml:17:1: managed_instances[0].name: sql_servers[0] is named `sql-1` too
          right: a name of its own for each instance
        agent.toml:25:1: links[0].managed_instance: there is no managed instance named `mi-1`
          right: one of `sql-1`, or a `[[managed_instances]]` section"#]],
    );
    check(
        "sql_server = \"sql-1\"",
        "sql_server = \"sql-11\"",
        &expect![[r#"
        agent.toml:24:1: links[0].sql_server: there is no SQL Server named `sql-11`
          right: did you mean `sql-1`?"#]],
    );
    check(
        "sql_server = \"sql-1\"",
        "sql_server = \"paris\"",
        &expect![[r#"
        agent.toml:24:1: links[0].sql_server: there is no SQL Server named `paris`
          right: one of `sql-1`, or a `[[sql_servers]]` section"#]],
    );
    check(
        "name = \"orders\"",
        "name = \"\"",
        &expect![[r#"
        agent.toml:23:1: links[0].name: the name of a link is empty
          right: 1 to 128 characters, none of them a control character"#]],
    );
    check(
        "database = \"orders\"",
        "database = \"\"",
        &expect![[r#"
        agent.toml:26:1: links[0].database: it is empty
          right: the name of the database"#]],
    );
}

#[test]
fn names_twice() {
    check(
        "[[links]]",
        "[[links]]\nname = \"orders\"\nsql_server = \"sql-1\"\nmanaged_instance = \"mi-1\"\ndatabase = \"a\"\n\n[[links]]",
        &expect![[r#"
            agent.toml:29:1: links[1].name: links[0] is named `orders` too
              right: a name of its own for each link"#]],
    );
    check(
        "[[links]]",
        "[[links]]\nname = \"o\"\ngroup = \"orders\"\nsql_server = \"sql-1\"\nmanaged_instance = \"mi-1\"\ndatabase = \"a\"\n\n[[links]]",
        &expect![[r#"
            agent.toml:29:1: links[1].group: links[0] is group `orders` of this managed instance too
              right: one link for each distributed availability group"#]],
    );
    check(
        "host = \"sql-1.example.com\"",
        "host = \"sql-1.example.com,1433\"",
        &expect![[r#"
            agent.toml:12:1: sql_servers[0].host: "sql-1.example.com,1433" is not a host
              right: a host name or an address alone; port and instance have keys of their own"#]],
    );
}

#[test]
fn approvals() {
    check(
        "forced = 1",
        "forced = 2",
        &expect![[r#"
        agent.toml:5:1: quorum.forced: it takes 2 signatures and 1 approver is configured: no plan could ever be approved
          right: at most 1, or more `[approvers.NAME]` sections"#]],
    );
    check(
        "forced = 1",
        "forced = 0",
        &expect![[r#"
        agent.toml:5:1: quorum.forced: a plan that nobody signs is not a signed plan
          right: at least 1"#]],
    );
    check(
        "public_key = \"ed25519:ZUk",
        "public_key = \"ed25519:",
        &expect![[r#"
        agent.toml:8:1: approvers.alice.public_key: this is not base64
          right: the line that `dr-agent key show` prints, `ed25519:` and 44 characters"#]],
    );
    check(
        "public_key = \"ed25519:ZUk",
        "public_key = \"rsa:ZUk",
        &expect![[r#"
        agent.toml:8:1: approvers.alice.public_key: a public key begins with `ed25519:`
          right: the line that `dr-agent key show` prints, `ed25519:` and 44 characters"#]],
    );
    check_more(
        "[approvers.bob]\npublic_key = \"ed25519:ZUkD6B2rMPXXiiXEeErwwQiCjoXrrk/+fscrZKk1d2I=\"",
        &expect![[r#"
            agent.toml:2:1: approvers.bob.public_key: this is the key of alice too: one person would count twice
              right: a key of each approver's own; `dr-agent key new` makes one"#]],
    );
    check_more(
        "[break_glass]\nwait = \"2h\"",
        &expect![[r#"
        agent.toml:2:1: break_glass.wait: the waiting time of 2h ends after the time for approvals, 1h: the glass could never be broken
          right: less than `policy.approve_within`"#]],
    );
}

#[test]
fn thresholds() {
    check_more(
        "[policy]\nmisses = 20",
        &expect![[r#"
            agent.toml:2:1: policy.misses: 20 misses, 1s apart on sql-1, take longer than the 15s of `stale_after`: the last look would be too old before the side counts as silent
              right: `stale_after` of at least 20s, or less of `misses` or `probe.every`
            agent.toml:2:1: policy.misses: 20 misses, 1s apart on mi-1, take longer than the 15s of `stale_after`: the last look would be too old before the side counts as silent
              right: `stale_after` of at least 20s, or less of `misses` or `probe.every`"#]],
    );
    check_more(
        "[policy]\nstale_after = \"3s\"",
        &expect![[r#"
            agent.toml:2:1: policy.stale_after: a look at sql-1 may be 4100ms old before the next one is in (`probe.every` and a tenth, `probe.deadline`), which is more than the 3s of `stale_after`: all would be stale between two looks
              right: `stale_after` of at least 4100ms, or shorter times there
            agent.toml:2:1: policy.stale_after: a look at mi-1 may be 4100ms old before the next one is in (`probe.every` and a tenth, `probe.deadline`), which is more than the 3s of `stale_after`: all would be stale between two looks
              right: `stale_after` of at least 4100ms, or shorter times there"#]],
    );
    check_more(
        "[policy]\nretry_after = \"20m\"",
        &expect![[r#"
            agent.toml:2:1: policy.retry_after: a refused step would be tried again after 20m, when the 15m of `execute_within` are over
              right: `retry_after` less than `execute_within`"#]],
    );
    check(
        "[[managed_instances]]",
        "probe = { connect_within = \"5s\" }\n\n[[managed_instances]]",
        &expect![[r#"
            agent.toml:16:11: sql_servers[0].probe.connect_within: 5s to connect is more than the 3s for everything
              right: at most `deadline`"#]],
    );
    check(
        "database = \"orders\"",
        "database = \"orders\"\npolicy = { misses = 0 }",
        &expect![[r#"
        agent.toml:27:12: links[0].policy.misses: 0 is none at all
          right: at least 1"#]],
    );
    check_more(
        "[storm_brake]\nopen_proposals = 0",
        &expect![[r#"
        agent.toml:2:1: storm_brake.open_proposals: with 0 the agent never proposes anything
          right: at least 1"#]],
    );
}

#[test]
fn doors() {
    check(
        "[http]",
        "[http]\nlisten = \"0.0.0.0:8420\"",
        &expect![[r#"
        agent.toml:2:1: http.listen: 0.0.0.0:8420 is not a loopback address, and there is no TLS: tokens would be read on the way
          right: give `tls_cert` and `tls_key`, or listen on 127.0.0.1 or [::1]"#]],
    );
    check(
        "[http]",
        "[http]\ntls_cert = \"certificate\"",
        &expect![[r#"
        agent.toml:2:1: http.tls_cert: a certificate needs its key
          right: give `tls_key` too"#]],
    );
    check(
        "[http]",
        "[http]\ntls_cert = \"certificate\"\ntls_key = \"open\"",
        &expect![[r#"
        agent.toml:3:1: http.tls_key: the secret file open is open to others (mode 644)
          right: chmod 600 open"#]],
    );
    check(
        "trust = { fingerprint",
        "trust = { ca = \"certificate\", fingerprint",
        &expect![[r#"
        agent.toml:14:1: sql_servers[0].trust: there is more than one way to judge the certificate
          right: one of `ca`, `certificate` and `fingerprint`
        agent.toml:14:11: sql_servers[0].trust.ca: no certificate in the PEM text: expected at least one `BEGIN CERTIFICATE` block
          right: a PEM file with one or more certificates"#]],
    );
    let fingerprint =
        "{ fingerprint = \"d4c9d9027326271a89ce51fcaf328ed673f17be33469ff979e8ab8dd501e664f\" }";
    check(
        fingerprint,
        "{ fingerprint = \"AB:CD\" }",
        &expect![[r#"
        agent.toml:14:11: sql_servers[0].trust.fingerprint: a fingerprint is 64 hexadecimal digits (SHA-256), colons allowed; got 4 digits
          right: SHA-256, as `openssl x509 -noout -fingerprint -sha256` prints it"#]],
    );
    check(
        fingerprint,
        "{ ca = \"certificate\" }",
        &expect![[r#"
        agent.toml:14:11: sql_servers[0].trust.ca: no certificate in the PEM text: expected at least one `BEGIN CERTIFICATE` block
          right: a PEM file with one or more certificates"#]],
    );
    check(
        fingerprint,
        "{ verify = false }",
        &expect![[r#"
        agent.toml:14:11: sql_servers[0].trust.verify: there is no such key in sql_servers[0].trust
          right: one of `ca`, `certificate`, `fingerprint`, `name`"#]],
    );
}

#[test]
fn control_plane() {
    let arm = |more: &str| {
        format!(
            "[managed_instances.arm]\nsubscription = \"s\"\nresource_group = \"g\"\ninstance = \"i\"\n{more}\n[[links]]"
        )
    };
    check(
        "[[links]]",
        &arm("base_url = \"http://management.azure.com\""),
        &expect![[r#"
        agent.toml:26:1: managed_instances[0].arm.base_url: "http://management.azure.com" is no address
          right: `https://` and a host, nothing else"#]],
    );
    check(
        "[[links]]",
        &arm("credential = { kind = \"client_secret\", tenant = \"t\" }"),
        &expect![[r#"
            agent.toml:26:1: managed_instances[0].arm.credential.client_id: `client_secret` needs it
              right: add `client_id`, or another `kind`
            agent.toml:26:1: managed_instances[0].arm.credential.client_secret: `client_secret` needs it
              right: add `client_secret`, or another `kind`"#]],
    );
    check(
        "[[links]]",
        &arm("credential = { kind = \"password\" }"),
        &expect![[r#"
            agent.toml:26:23: managed_instances[0].arm.credential.kind: it can't be `password`
              right: one of `managed_identity`, `arc_managed_identity`, `workload_identity`, `client_secret`, `client_certificate`, `client_assertion`"#]],
    );
    check(
        "[[links]]",
        &arm("credential = { token_file = \"private\" }"),
        &expect![[r#"
        agent.toml:26:16: managed_instances[0].arm.credential.token_file: `managed_identity` takes no `token_file`
          right: leave it out, or another `kind` than `managed_identity`"#]],
    );
    check(
        "[[links]]",
        &arm("every = \"10s\""),
        &expect![[r#"
            agent.toml:26:1: managed_instances[0].arm.every: a look at mi-1 may be 19s old before the next one is in (`arm.every` and a tenth, `arm.deadline`), which is more than the 15s of `stale_after`: all would be stale between two looks
              right: `stale_after` of at least 19s, or shorter times there"#]],
    );
    check(
        "[[managed_instances]]",
        "[sql_servers.arm]\nsubscription = \"s\"\n\n[[managed_instances]]",
        &expect![[r#"
            agent.toml:16:14: sql_servers[0].arm: there is no such key in sql_servers[0]
              right: one of `action_login`, `browser_port`, `encrypt`, `host`, `instance`, `login`, `name`, `port`, `probe`, `replicas`, `trust`"#]],
    );
}

#[test]
fn several_at_once() {
    let text = SMALL.replace("forced = 1", "forced = 3").replace("\"sql-1\"\nm", "\"sql\"\nm");
    expect![[r#"
        agent.toml:5:1: quorum.forced: it takes 3 signatures and 1 approver is configured: no plan could ever be approved
          right: at most 1, or more `[approvers.NAME]` sections
        agent.toml:24:1: links[0].sql_server: there is no SQL Server named `sql`
          right: one of `sql-1`, or a `[[sql_servers]]` section"#]].assert_eq(&Folder::new().errors(&text));
}

fn planned(lines: &str, expected: &Expect) {
    check(
        "database = \"orders\"",
        &format!("database = \"orders\"\n[links.planned]\n{lines}"),
        expected,
    );
}

#[test]
fn hooks() {
    planned(
        "applications = { command = [] }",
        &expect![[r#"
        agent.toml:28:18: links[0].planned.applications.command: it is empty
          right: the path of a program, and its arguments if it has any"#]],
    );
    planned(
        "applications = { command = [\"bin/applications\"] }",
        &expect![[r#"
        agent.toml:28:18: links[0].planned.applications.command: bin/applications is not an absolute path
          right: the path from / on"#]],
    );
    planned(
        "applications = { command = [\"/none/applications\"] }",
        &expect![[r#"
        agent.toml:28:18: links[0].planned.applications.command: the hook /none/applications can't be read: No such file or directory (os error 2)
          right: an existing program that the user of the agent can read"#]],
    );
    planned(
        "applications = { command = [\"/usr/bin/env\", \"a\\nb\"] }",
        &expect![[r#"
        agent.toml:28:18: links[0].planned.applications.command: there is a control character in it, which an approver could not see
          right: plain words; a script can hold the rest"#]],
    );
    planned(
        "applications = { command = [\"/usr/bin/env\"], within = \"0s\" }",
        &expect![[r#"
            agent.toml:28:46: links[0].planned.applications.within: no time at all
              right: more than 0"#]],
    );
    planned(
        "applications = { command = [\"/usr/bin/env\"], within = \"5m\" }",
        &expect![[r#"
        agent.toml:28:46: links[0].planned.applications.within: the hook may take 5m, and the whole step 5m (`quiesce_within`): nobody would be left to see that it is quiet
          right: less than `quiesce_within`"#]],
    );
    planned(
        "applications = { program = \"/usr/bin/env\" }",
        &expect![[r#"
        agent.toml:28:18: links[0].planned.applications.program: there is no such key in links[0].planned.applications
          right: one of `command`, `within`"#]],
    );
}

#[test]
fn times_of_planned_failovers() {
    planned(
        "quiesce_within = \"0s\"",
        &expect![[r#"
        agent.toml:28:1: links[0].planned.quiesce_within: no time at all
          right: more than 0"#]],
    );
    planned(
        "quiet_for = \"5m\"",
        &expect![[r#"
        agent.toml:28:1: links[0].planned.quiet_for: quiet for 5m can't be seen within 5m
          right: `quiet_for` less than `quiesce_within` and `catch_up_within`"#]],
    );
    planned(
        "catch_up_within = \"5s\"",
        &expect![[r#"
        agent.toml:27:8: links[0].planned.quiesce_within: quiet for 5s can't be seen within 5s
          right: `quiet_for` less than `quiesce_within` and `catch_up_within`"#]],
    );
    planned(
        "quiesce_within = \"10m\"",
        &expect![[r#"
        agent.toml:28:1: links[0].planned.quiesce_within: `quiesce_within` and `catch_up_within` are 15m together, and after the 15m of `policy.execute_within` no step starts any more
          right: less together, or a longer `policy.execute_within`"#]],
    );
}

#[test]
fn places_for_backups() {
    planned(
        "backup = { to = \"backup/\" }",
        &expect![[r#"
        agent.toml:28:12: links[0].planned.backup.to: "backup/" is not a place for backups
          right: a folder of the server's from its beginning on, with `/` or `\` at its end, or the https address of a container with `/` at its end"#]],
    );
    planned(
        "backup = { to = \"/backup\" }",
        &expect![[r#"
        agent.toml:28:12: links[0].planned.backup.to: "/backup" has no separator at its end, and the name of the file is put behind it
          right: a folder of the server's from its beginning on, with `/` or `\` at its end, or the https address of a container with `/` at its end"#]],
    );
    planned(
        "backup = { to = \"http://example.com/c/\" }",
        &expect![[r#"
        agent.toml:28:12: links[0].planned.backup.to: "http://example.com/c/" is not a place for backups
          right: a folder of the server's from its beginning on, with `/` or `\` at its end, or the https address of a container with `/` at its end"#]],
    );
    planned(
        "backup = { to = \"/backup/\", within = \"0s\" }",
        &expect![[r#"
        agent.toml:28:29: links[0].planned.backup.within: no time at all
          right: more than 0"#]],
    );
    for right in ["/backup/", r"D:\\backup\\", r"\\\\server\\share\\", "https://a.example.com/c/"] {
        let text = format!("{SMALL}[links.planned]\nbackup = {{ to = \"{right}\" }}\n");
        let config = Folder::new().parse(&text).expect("a place");
        let place = config.links[0].planned.backup.as_ref().expect("given");
        assert_eq!(place.within.as_secs(), 7_200);
    }
}

#[test]
fn a_hook_is_known_by_its_bytes() {
    let folder = Folder::new();
    folder.write("hook", "#!/bin/sh\n", 0o755);
    let hook = folder.path().with_file_name("hook");
    let text = format!(
        "{SMALL}[links.planned]\napplications = {{ command = [\"{}\", \"shop\"] }}\n",
        hook.display()
    );
    let config = folder.parse(&text).expect("a hook");
    let found = config.links[0].planned.applications.as_ref().expect("given");
    assert_eq!(found.sha256, "a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf");
    assert_eq!((found.command[1].as_str(), found.within_ms), ("shop", 60_000));
    folder.write("hook", "#!/bin/sh\n", 0o777);
    assert!(folder.errors(&text).contains("can be written by others (mode 777)"));
}
