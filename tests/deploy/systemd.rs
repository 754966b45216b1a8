//! The unit and what goes with it, judged by systemd's own tools.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
    time::Duration,
};

use tests::harness::{Process, ours};

use crate::{ask, folder};

const UNIT: &str = "dr-agent.service";
/// Tenths of the exposure that `systemd-analyze security` sees, from 0 to 100. What is left is what
/// the agent is there for, it talks over the network (1.1 by Debian 12), and what newer versions add.
const EXPOSURE_MOST: &str = "15";

#[test]
fn systemd_takes_the_unit() {
    let unit = fs::read_to_string(folder("systemd").join(UNIT)).expect("the unit is there");
    let folder = tempfile::tempdir().expect("a folder");
    let binary = ours("dr-agent").get_program().to_owned();
    let binary = binary.to_str().expect("a path in UTF-8");
    // Where a package would put it there is nothing yet.
    assert_eq!(unit.matches("ExecStart=/usr/bin/dr-agent ").count(), 1, "{unit}");
    fs::write(folder.path().join(UNIT), unit.replace("/usr/bin/dr-agent", binary))
        .expect("written");
    let arguments = ["verify", "--man=no", "--recursive-errors=no", &format!("./{UNIT}")];
    let words = ask("systemd-analyze", &arguments, folder.path()).unwrap_or_else(|w| panic!("{w}"));
    // Unknown keys are words, not errors.
    assert!(words.trim().is_empty(), "{words}");
}

#[test]
fn the_cage_is_as_tight_as_it_was() {
    let arguments = [
        "security",
        "--offline=true",
        "--no-pager",
        "--threshold",
        EXPOSURE_MOST,
        "./dr-agent.service",
    ];
    let words = ask("systemd-analyze", &arguments, &folder("systemd"));
    words.unwrap_or_else(|words| panic!("more exposed than {EXPOSURE_MOST}:\n{words}"));
}

#[test]
fn the_user_is_made_without_home_and_shell() {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir(root.path().join("etc")).expect("a folder");
    let user = folder("systemd").join("dr-agent.sysusers");
    let arguments = [
        format!("--root={}", root.path().display()),
        user.to_str().expect("a path in UTF-8").to_owned(),
    ];
    ask("systemd-sysusers", &arguments.each_ref().map(String::as_str), root.path())
        .unwrap_or_else(|words| panic!("{words}"));
    let users = fs::read_to_string(root.path().join("etc/passwd")).expect("a user was made");
    let user = users.lines().find(|line| line.starts_with("dr-agent:")).expect("the user");
    assert!(user.ends_with(":/var/lib/dr-agent:/usr/sbin/nologin"), "{user}");
}

/// As systemd would start it for `Type=notify` and `WatchdogSec`.
#[test]
fn the_agent_says_that_it_is_ready_alive_and_stopping() {
    const LIMIT: Duration = Duration::from_secs(60);
    let folder = tempfile::tempdir().expect("a folder");
    let config = configuration(folder.path());
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(LIMIT)).expect("a limit");
    let heard = || {
        let mut words = [0; 256];
        let many = socket.recv(&mut words).expect("it says something");
        String::from_utf8_lossy(&words[..many]).into_owned()
    };
    let mut command = ours("dr-agent");
    command.arg("run").arg("--config").arg(&config);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000");
    let mut agent = Process::start("agent", command, folder.path());
    let mut words = vec![heard()];
    while words.iter().filter(|words| *words == "WATCHDOG=1\n").count() < 3 {
        words.push(heard());
    }
    // The first word to the watchdog may be quicker.
    let ready = words.iter().find(|words| words.starts_with("READY=1\n")).expect("it is ready");
    let url = fs::read_to_string(folder.path().join("address")).expect("where it listens");
    assert_eq!(*ready, format!("READY=1\nSTATUS=answers at {}\n", url.trim()));
    let status = agent.terminate(LIMIT);
    assert!(status.success(), "{status}: {}", agent.stderr());
    let mut last = heard();
    while last == "WATCHDOG=1\n" {
        last = heard();
    }
    assert_eq!(last, "STOPPING=1\nSTATUS=stopping\n");
}

/// An agent whose servers are not there: nobody listens on port 1.
fn configuration(folder: &Path) -> PathBuf {
    let secret = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode set");
    };
    secret("tokens", "a-token-of-the-tests");
    secret("password", "s3cret");
    let instance = |section: &str, name: &str| {
        format!(
            "[[{section}]]\nname = \"{name}\"\nhost = \"127.0.0.1\"\nport = 1\n\
             login = {{ user = \"u\", password = {{ file = \"password\" }} }}\n\
             trust = {{ fingerprint = \"{}\" }}\n",
            ["00"; 32].join(":")
        )
    };
    let text = format!(
        "[agent]\ndata_dir = \"data\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\ntoken_files = [\"tokens\"]\n\
         address_file = \"address\"\n\
         [quorum]\nforced = 1\n\
         [approvers.alice]\n\
         public_key = \"ed25519:ZUkD6B2rMPXXiiXEeErwwQiCjoXrrk/+fscrZKk1d2I=\"\n{}{}\
         [[links]]\nname = \"orders\"\nsql_server = \"sql\"\nmanaged_instance = \"mi\"\n\
         database = \"Orders\"\n",
        instance("sql_servers", "sql"),
        instance("managed_instances", "mi"),
    );
    let path = folder.join("agent.toml");
    fs::write(&path, text).expect("written");
    path
}
