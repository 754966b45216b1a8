//! Statements of administrators: logins, rights, certificates, endpoints, trace flags, backups.
//!
//! Each reads to its end, which is a semicolon here or the end of the batch.

use sqlparser::tokenizer::Token;

use crate::sql::error::Result;
use crate::sql::statement::{Console, Kind, SetUp};
use crate::world::setup::{Change, DatabaseChange, EndpointChange, LinkChange, LoginChange, Until};
use crate::world::{DatabaseCommand, DatabaseOption, Others, Users};

use super::{Reader, groups, is_word};

/// One word, name, text, number or sign of a statement.
pub(super) struct Item {
    pub(super) text: String,
    /// In brackets, quotes or apostrophes: never a word of the language.
    pub(super) quoted: bool,
}

impl Reader<'_> {
    /// Whether ALTER is about what stands in this file.
    pub(super) fn alters_set_up(&mut self) -> bool {
        let ahead = |place: usize| self.parser.peek_nth_token(place).token;
        let is = |place: usize, words: &[&str]| {
            let token = ahead(place);
            words.iter().any(|word| is_word(&token, word))
        };
        is(1, &["LOGIN", "ENDPOINT"])
            || is(1, &["CREDENTIAL"])
            || (is(1, &["DATABASE"]) && is(3, &["SET"]) && !is(4, &["HADR"]))
            || (is(1, &["DATABASE"]) && is(3, &["MODIFY"]))
            || (is(1, &["AVAILABILITY"]) && is(4, &groups::CHANGES))
            || (is(1, &["AVAILABILITY"])
                && is(4, &["SET"])
                && (is(6, &["REQUIRED_SYNCHRONIZED_SECONDARIES_TO_COMMIT"])
                    || groups::sets(&ahead(6).to_string())))
    }

    pub(super) fn set_up(&mut self, first: &str) -> Result<Kind> {
        let wrong = self.unexpected();
        let (items, words) = self.items();
        if first == "DBCC"
            && let Some(what) = console(&items)
        {
            let quiet = find(&items, "NO_INFOMSGS").is_some();
            return Ok(Kind::Console { what, quiet });
        }
        if ["CREATE", "DROP", "ALTER"].contains(&first) && groups::concerns(&items) {
            return groups::statement(first, &items).map(Kind::Group).ok_or(wrong);
        }
        if word(&items, 1) == "DATABASE"
            && let Some(kind) = database(first, &items)
        {
            return Ok(kind);
        }
        let changes = match first {
            "GRANT" | "DENY" | "REVOKE" => permission(&items, first),
            "CREATE" => create(&items),
            "DROP" => dropped(&items),
            "DBCC" => traces(&items),
            _ => alter(&items),
        };
        changes.map(|changes| Kind::SetUp(SetUp { words, changes })).ok_or(wrong)
    }

    /// The rest of the statement, and how it reads without what is secret in it.
    fn items(&mut self) -> (Vec<Item>, String) {
        let mut items = Vec::new();
        let mut words = String::new();
        loop {
            let item = match &self.parser.peek_token_ref().token {
                Token::EOF | Token::SemiColon => return (items, words),
                Token::Word(found) => {
                    Item { text: found.value.clone(), quoted: found.quote_style.is_some() }
                }
                Token::SingleQuotedString(text) | Token::NationalStringLiteral(text) => {
                    Item { text: text.clone(), quoted: true }
                }
                other => Item { text: other.to_string(), quoted: false },
            };
            let shown = match &self.parser.peek_token_ref().token {
                Token::SingleQuotedString(_) | Token::NationalStringLiteral(_)
                    if is_secret(&items) =>
                {
                    "'***'".to_owned()
                }
                other => other.to_string(),
            };
            let close = [",", ")", ".", "::"].contains(&shown.as_str());
            if !close && !words.is_empty() && !words.ends_with(['(', '.', ':']) {
                words.push(' ');
            }
            words += &shown;
            items.push(item);
            self.parser.next_token();
        }
    }
}

/// Whether what follows these items must not be told.
fn is_secret(items: &[Item]) -> bool {
    let [.., name, equals] = items else { return false };
    let secrets = ["PASSWORD", "OLD_PASSWORD", "SECRET"];
    equals.text == "=" && secrets.iter().any(|secret| name.text.eq_ignore_ascii_case(secret))
}

fn permission(items: &[Item], verb: &str) -> Option<Vec<Change>> {
    let granted = verb == "GRANT";
    let to = find(items, "TO").or_else(|| find(items, "FROM"))?;
    let login = items.get(to + 1)?.text.clone();
    let of = find(items, "ON").unwrap_or(to).min(to);
    let words: Vec<_> = items.get(1..of)?.iter().map(|item| item.text.to_uppercase()).collect();
    let permission = words.join(" ");
    let on = |place: usize| word(items, of + place);
    let change = if permission == "ALTER" && on(1) == "AVAILABILITY" && on(2) == "GROUP" {
        let group = items.get(of + 4).filter(|_| of + 4 < to)?.text.clone();
        LoginChange::Group { group, may: (verb != "REVOKE").then_some(granted) }
    } else {
        LoginChange::Permission { permission, granted }
    };
    Some(vec![Change::Login { login, change }])
}

fn create(items: &[Item]) -> Option<Vec<Change>> {
    let name = |place: usize| items.get(place).map(|item| item.text.clone());
    Some(vec![match word(items, 1).as_str() {
        "MASTER" => Change::MasterKey(true),
        "CERTIFICATE" if find(items, "BINARY").is_some() => {
            let blob = name(find(items, "BINARY")? + 2)?;
            let quoted = || blob.trim_start_matches(['X', 'x']).trim_matches('\'');
            let digits = blob.strip_prefix("0x").unwrap_or_else(quoted);
            Change::Imported { name: name(2)?, blob: digits.to_owned() }
        }
        "CERTIFICATE" if find(items, "FILE").is_some() && find(items, "PRIVATE").is_none() => {
            Change::Certificate { name: name(2)?, own: false, until: Until::Days(730) }
        }
        "CERTIFICATE" => {
            let until = match find(items, "EXPIRY_DATE") {
                Some(place) => Until::Day(name(place + 2)?.parse().ok()?),
                None => Until::Days(365),
            };
            Change::Certificate { name: name(2)?, own: true, until }
        }
        "ENDPOINT" => Change::Endpoint(endpoint(items, true)?),
        "CREDENTIAL" => credential(items, false)?,
        "USER" => return Some(Vec::new()),
        _ => return None,
    }])
}

fn dropped(items: &[Item]) -> Option<Vec<Change>> {
    let name = items.get(2)?.text.clone();
    Some(vec![match word(items, 1).as_str() {
        "CERTIFICATE" => Change::NoCertificate(name),
        "ENDPOINT" => Change::NoEndpoint,
        "CREDENTIAL" => Change::NoCredential(name),
        _ => return None,
    }])
}

fn traces(items: &[Item]) -> Option<Vec<Change>> {
    let on = match word(items, 1).as_str() {
        "TRACEON" => true,
        "TRACEOFF" => false,
        _ => return None,
    };
    let flags = items.iter().filter_map(|item| item.text.parse::<u16>().ok());
    // The last number is the 1 of -1.
    let flags: Vec<_> = flags.filter(|flag| *flag != 1).collect();
    Some(flags.into_iter().map(|flag| Change::TraceFlag { flag, on }).collect())
}

fn alter(items: &[Item]) -> Option<Vec<Change>> {
    let name = items.get(2)?.text.clone();
    Some(vec![match word(items, 1).as_str() {
        "LOGIN" => login(items, name)?,
        "CREDENTIAL" => credential(items, true)?,
        "ENDPOINT" => Change::Endpoint(endpoint(items, false)?),
        "DATABASE" => {
            if word(items, 4) != "RECOVERY" {
                return None;
            }
            let change = DatabaseChange::Simple(word(items, 5) == "SIMPLE");
            Change::Database { database: name, change }
        }
        "AVAILABILITY" => {
            let link = items.get(3)?.text.clone();
            let number = |name: &str| items.get(find(items, name)? + 2)?.text.parse().ok();
            let required = number("REQUIRED_SYNCHRONIZED_SECONDARIES_TO_COMMIT")?;
            let change = LinkChange::Required(required);
            Change::Link { link, change }
        }
        _ => return None,
    }])
}

/// The secret is not kept: only that there is one.
fn credential(items: &[Item], alter: bool) -> Option<Change> {
    let identity = items.get(find(items, "IDENTITY")? + 2)?.text.clone();
    let secret = find(items, "SECRET").and_then(|place| items.get(place + 2)).is_some();
    Some(Change::Credential { name: items.get(2)?.text.clone(), identity, secret, alter })
}

/// CREATE, ALTER and DROP DATABASE, but for what is a setting of its own.
fn database(first: &str, items: &[Item]) -> Option<Kind> {
    let if_exists = first == "DROP" && word(items, 2) == "IF";
    let name = items.get(if if_exists { 4 } else { 2 })?.text.clone();
    let mut others = Others::WaitedFor;
    if let Some(place) = find(items, "WITH").filter(|_| first == "ALTER") {
        others = match word(items, place + 1).as_str() {
            "ROLLBACK" => Others::Ended,
            "NO_WAIT" => Others::Respected,
            _ => return None,
        };
    }
    let command = match (first, word(items, 3).as_str(), word(items, 4).as_str()) {
        ("CREATE", "", _) => DatabaseCommand::Create,
        ("DROP", ..) => DatabaseCommand::Drop,
        ("ALTER", "MODIFY", "NAME") => DatabaseCommand::Rename(items.get(6)?.text.clone()),
        ("ALTER", "SET", "READ_ONLY") => DatabaseCommand::ReadOnly(true),
        ("ALTER", "SET", "READ_WRITE") => DatabaseCommand::ReadOnly(false),
        ("ALTER", "SET", "MULTI_USER") => DatabaseCommand::Users(Users::All),
        ("ALTER", "SET", "SINGLE_USER") => DatabaseCommand::Users(Users::One),
        ("ALTER", "SET", "RESTRICTED_USER") => DatabaseCommand::Users(Users::Owners),
        ("ALTER", "SET", "OFFLINE") => DatabaseCommand::Offline(true),
        ("ALTER", "SET", "ONLINE") => DatabaseCommand::Offline(false),
        ("ALTER", "SET", option) => DatabaseCommand::Set(option_of(option, items)?),
        _ => return None,
    };
    Some(Kind::Database { name, command, others, if_exists })
}

/// An option of a database that `sys.databases` shows.
fn option_of(option: &str, items: &[Item]) -> Option<DatabaseOption> {
    let equals = items.get(5).is_some_and(|item| item.text == "=");
    let value = word(items, if equals { 6 } else { 5 });
    let switch = || match value.as_str() {
        "ON" => Some(true),
        "OFF" => Some(false),
        _ => None,
    };
    Some(match option {
        "COMPATIBILITY_LEVEL" if equals => DatabaseOption::Compatibility(value.parse().ok()?),
        "READ_COMMITTED_SNAPSHOT" => DatabaseOption::CommittedSnapshot(switch()?),
        "ALLOW_SNAPSHOT_ISOLATION" => DatabaseOption::Snapshot(switch()?),
        "ACCELERATED_DATABASE_RECOVERY" => DatabaseOption::AcceleratedRecovery(switch()?),
        "ENABLE_BROKER" | "DISABLE_BROKER" => DatabaseOption::Broker(option == "ENABLE_BROKER"),
        "NEW_BROKER" => DatabaseOption::NewBroker,
        _ => return None,
    })
}

/// DBCC that only looks.
fn console(items: &[Item]) -> Option<Console> {
    let argument = || {
        let item = items.get(3).filter(|_| items.get(2).is_some_and(|item| item.text == "("));
        item.map(|item| item.text.clone()).filter(|text| text != ")")
    };
    Some(match word(items, 1).as_str() {
        "TRACESTATUS" => Console::TraceStatus,
        "SQLPERF" if word(items, 3) == "LOGSPACE" => Console::LogSpace,
        "LOGINFO" => Console::LogInfo(argument()),
        "OPENTRAN" => Console::OpenTransaction(argument()),
        "INPUTBUFFER" => Console::InputBuffer(argument()?.parse().ok()?),
        "USEROPTIONS" => Console::UserOptions,
        _ => return None,
    })
}

fn login(items: &[Item], login: String) -> Option<Change> {
    let value = || items.get(6).map(|item| item.text.clone());
    let change = match (word(items, 3).as_str(), word(items, 4).as_str()) {
        ("ENABLE", _) => LoginChange::Refused(None),
        ("DISABLE", _) => LoginChange::Refused(Some(18_470)),
        ("WITH", "PASSWORD") => LoginChange::Password(value()?),
        _ => return None,
    };
    Some(Change::Login { login, change })
}

fn endpoint(items: &[Item], create: bool) -> Option<EndpointChange> {
    let after = |name: &str, by: usize| Some(items.get(find(items, name)? + by)?.text.clone());
    Some(EndpointChange {
        name: items.get(2)?.text.clone(),
        create,
        started: after("STATE", 2).map(|state| state.eq_ignore_ascii_case("STARTED")),
        certificate: after("CERTIFICATE", 1),
        windows: find(items, "WINDOWS").is_some() && find(items, "CERTIFICATE").is_none(),
        encrypted: after("ENCRYPTION", 2).map(|word| word.eq_ignore_ascii_case("REQUIRED")),
        algorithm: after("ALGORITHM", 1).map(|word| word.to_uppercase()),
        port: after("LISTENER_PORT", 2).and_then(|port| port.parse().ok()),
    })
}

/// Where a word of the language stands first.
pub(super) fn find(items: &[Item], wanted: &str) -> Option<usize> {
    items.iter().position(|item| !item.quoted && item.text.eq_ignore_ascii_case(wanted))
}

/// The word of the language at a place, in capitals; empty if there is none.
pub(super) fn word(items: &[Item], place: usize) -> String {
    let item = items.get(place).filter(|item| !item.quoted);
    item.map_or_else(String::new, |item| item.text.to_uppercase())
}
