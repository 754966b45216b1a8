//! What can be told without a network: the configuration, the files that it names, the address that
//! the API is to listen on.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use probes::readiness::{Check, Finding, How, Stage, files};

use crate::config::{Config, Problem};

/// Is the file one that the agent can be started with?
const FORM: Check = Check {
    id: "config.form",
    stage: Stage::Config,
    question: "Can the file be read, and has it the form of a configuration?",
    source: "the file itself; `dr-agent config --defaults` prints every key",
};
/// Does everything in it hold?
const VALUES: Check = Check {
    id: "config.value",
    question: "Does everything in it hold, beyond its form?",
    source: "the checks with which the agent starts",
    ..FORM
};
/// Are the secrets there, and only for those they are for?
const SECRETS: Check = Check {
    id: "files.secret",
    stage: Stage::Files,
    question: "Can the secrets be read, by the agent and nobody else?",
    source: "the files and variables that the configuration names",
};
/// Can the API listen where it is to?
const LISTEN: Check = Check {
    id: "http.listen",
    stage: Stage::Server,
    question: "Is the address of the API free, or the agent's already?",
    source: "a connection to it, else listening on it for a moment",
};
/// For the connection to an address of this machine, and for its answer.
const QUICK: Duration = Duration::from_secs(2);

/// Whether an agent is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listening {
    Agent,
    Nobody,
}

/// What is wrong with the file, and with the files that it names.
pub(super) fn of_config(
    path: &Path,
    config: Option<&Config>,
    problems: &[Problem],
) -> Vec<Finding> {
    let subject = "the configuration";
    let shown = path.display().to_string();
    let Some(config) = config else {
        let wrong = problems
            .iter()
            .map(|problem| mend(FORM.wrong(subject, said(&shown, problem)), &shown, problem));
        return wrong.collect();
    };
    let mut found = vec![FORM.ok(subject, shown.clone())];
    let mut rest = (0, 0);
    for problem in problems {
        let secret = is_secret(&problem.key);
        let check = if secret { &SECRETS } else { &VALUES };
        let (secrets, values) = &mut rest;
        *(if secret { secrets } else { values }) += 1;
        let of = if secret { "the agent's files" } else { subject };
        found.push(mend(check.wrong(of, said(&shown, problem)), &shown, problem));
    }
    if rest.1 == 0 {
        found.push(VALUES.ok(subject, "no contradictions"));
    }
    if rest.0 == 0 {
        found.push(SECRETS.ok("the agent's files", "all of them"));
    }
    found.extend(files::data_dir(&config.agent.data_dir));
    found
}

/// The address of the API: free, an agent's, or somebody else's.
pub(super) fn listen(config: &Config) -> (Finding, Listening) {
    let subject = "the agent's API";
    let listen = config.http.listen;
    if listen.port() == 0 {
        return (LISTEN.ok(subject, "any free port"), Listening::Nobody);
    }
    let at = "http.listen";
    if let Ok(mut stream) = TcpStream::connect_timeout(&here(listen), QUICK) {
        // Behind TLS nothing answers in clear; then the connection alone has to do.
        if config.http.tls.is_some() || is_agent(&mut stream) {
            return (LISTEN.ok(subject, format!("an agent listens on {listen}")), Listening::Agent);
        }
        let finding = LISTEN
            .wrong(subject, format!("something that is not the agent listens on {listen}"))
            .mend(How::Config, at, "an address and port of its own")
            .mend(How::Shell, "this machine", format!("ss -ltnp 'sport = :{}'", listen.port()));
        return (finding, Listening::Nobody);
    }
    let finding = match TcpListener::bind(listen) {
        Ok(_) => LISTEN.ok(subject, format!("{listen} is free")),
        Err(error) => LISTEN.wrong(subject, format!("{listen}: {error}")).mend(
            How::Config,
            at,
            "an address of this machine, with a port from 1024 on",
        ),
    };
    (finding, Listening::Nobody)
}

/// Whether a key is about a secret or the file of one.
fn is_secret(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    let secret = [
        "password",
        "client_secret",
        "secret",
        "bearer",
        "token_file",
        "private_key",
        "url",
        "tls_key",
        "tls_cert",
        "ca",
        "certificate",
    ];
    let lists = ["token_files", "webhook_token_files"];
    secret.contains(&last) || lists.iter().any(|list| last.starts_with(list))
}

fn said(path: &str, problem: &Problem) -> String {
    let place = problem.line.map_or_else(String::new, |line| format!("{path}:{line}: "));
    let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
    format!("{place}{key}{}", problem.what)
}

fn mend(finding: Finding, path: &str, problem: &Problem) -> Finding {
    if problem.right.starts_with("chmod ") {
        return finding.mend(How::Shell, "this machine", problem.right.clone());
    }
    let at = if problem.key.is_empty() { path } else { &problem.key };
    let right = if problem.right.is_empty() { "see what is wrong with it" } else { &problem.right };
    finding.mend(How::Config, at, right)
}

/// Where an address that is listened on is reached from here.
fn here(listen: SocketAddr) -> SocketAddr {
    if !listen.ip().is_unspecified() {
        return listen;
    }
    let ip =
        if listen.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(ip, listen.port())
}

fn is_agent(stream: &mut TcpStream) -> bool {
    let limits =
        stream.set_read_timeout(Some(QUICK)).and_then(|()| stream.set_write_timeout(Some(QUICK)));
    let asked = limits.and_then(|()| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    });
    let mut answer = Vec::new();
    // A time-out ends it with what has come.
    drop(asked.and_then(|()| stream.take(4096).read_to_end(&mut answer)));
    String::from_utf8_lossy(&answer).contains("\"alive\":true")
}
