//! Requests: batches, procedure calls, transaction manager requests.

use std::io;

use crate::sql::{Type, Value};

use super::bytes::{Bytes, utf16};
use super::decode::{Unreadable, typed_value};
use super::packet::invalid;

/// A procedure that is called.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    pub(super) procedure: Procedure,
    pub(super) parameters: Vec<Parameter>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Procedure {
    ExecuteSql,
    Prepare,
    Execute,
    PrepareAndExecute,
    Unprepare,
    /// One that the twin does not have.
    Other(String),
}

#[derive(Debug, PartialEq)]
pub(super) struct Parameter {
    /// With its `@`, if the client sent one.
    pub(super) name: String,
    /// The client wants its value back.
    pub(super) output: bool,
    /// It has no value: the procedure's default holds.
    pub(super) left_out: bool,
    pub(super) ty: Type,
    pub(super) value: Value,
}

/// What a transaction manager request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TransactionRequest {
    /// And whether it is to read what others have not committed.
    Begin {
        dirty: Option<bool>,
    },
    Commit {
        begin_another: bool,
    },
    /// Of the whole transaction, or to a save point.
    Rollback {
        name: String,
        begin_another: bool,
    },
    Save {
        name: String,
    },
    Other(u16),
}

impl TransactionRequest {
    /// The same in T-SQL; none for what the twin does not have.
    pub(super) fn statement(&self) -> Option<String> {
        let quoted = |name: &str| format!("[{}]", name.replace(']', "]]"));
        let then = |more: bool| if more { "; BEGIN TRANSACTION" } else { "" };
        Some(match self {
            TransactionRequest::Begin { .. } => "BEGIN TRANSACTION".to_owned(),
            TransactionRequest::Commit { begin_another } => {
                format!("COMMIT TRANSACTION{}", then(*begin_another))
            }
            TransactionRequest::Rollback { name, .. } if !name.is_empty() => {
                format!("ROLLBACK TRANSACTION {}", quoted(name))
            }
            TransactionRequest::Rollback { begin_another, .. } => {
                format!("ROLLBACK TRANSACTION{}", then(*begin_another))
            }
            TransactionRequest::Save { name } => format!("SAVE TRANSACTION {}", quoted(name)),
            TransactionRequest::Other(_) => return None,
        })
    }
}

/// SQL Server's own limit.
const MAX_PARAMETERS: usize = 2_100;
const MAX_CALLS: usize = 64;

/// The text of a batch.
pub(super) fn batch(data: &[u8]) -> io::Result<String> {
    let mut bytes = Bytes::new(data);
    skip_headers(&mut bytes)?;
    let mut rest = Vec::new();
    while !bytes.is_empty() {
        rest.push(bytes.u8()?);
    }
    Ok(utf16(&rest))
}

/// The calls of an RPC message.
pub(super) fn calls(data: &[u8]) -> Result<Vec<Call>, Unreadable> {
    let mut bytes = Bytes::new(data);
    skip_headers(&mut bytes)?;
    let mut calls = Vec::new();
    while !bytes.is_empty() {
        if calls.len() >= MAX_CALLS {
            return Err(invalid("too many calls in one message").into());
        }
        calls.push(call(&mut bytes)?);
    }
    if calls.is_empty() {
        return Err(invalid("a call without a procedure").into());
    }
    Ok(calls)
}

pub(super) fn transaction(data: &[u8]) -> io::Result<TransactionRequest> {
    let mut bytes = Bytes::new(data);
    skip_headers(&mut bytes)?;
    let kind = bytes.u16()?;
    let name = |bytes: &mut Bytes<'_>| -> io::Result<String> {
        let length = usize::from(bytes.u8()?);
        Ok(utf16(bytes.take(length)?))
    };
    let another = |bytes: &mut Bytes<'_>| -> io::Result<bool> {
        Ok(!bytes.is_empty() && bytes.u8()? & 1 != 0)
    };
    Ok(match kind {
        5 => {
            let level = if bytes.is_empty() { 0 } else { bytes.u8()? };
            TransactionRequest::Begin { dirty: (level != 0).then_some(level == 1) }
        }
        7 => {
            name(&mut bytes)?;
            TransactionRequest::Commit { begin_another: another(&mut bytes)? }
        }
        8 => TransactionRequest::Rollback {
            name: name(&mut bytes)?,
            begin_another: another(&mut bytes)?,
        },
        9 => TransactionRequest::Save { name: name(&mut bytes)? },
        other => TransactionRequest::Other(other),
    })
}

/// ALL_HEADERS: a total that counts itself, then headers with lengths of their own.
fn skip_headers(bytes: &mut Bytes<'_>) -> io::Result<()> {
    let total = bytes.size32()?;
    let rest = total.checked_sub(4).ok_or_else(|| invalid("ALL_HEADERS is shorter than itself"))?;
    let mut headers = Bytes::new(bytes.take(rest)?);
    while !headers.is_empty() {
        let length = headers.size32()?;
        let rest = length.checked_sub(4).ok_or_else(|| invalid("a header shorter than itself"))?;
        headers.take(rest)?;
    }
    Ok(())
}

/// Procedures of cursors by their numbers, none of which the twin has.
fn cursor_procedure(number: u16) -> String {
    const NAMES: &str = "sp_cursor sp_cursoropen sp_cursorprepare sp_cursorexecute \
                         sp_cursorprepexec sp_cursorunprepare sp_cursorfetch sp_cursoroption \
                         sp_cursorclose";
    let known = usize::from(number).checked_sub(1).and_then(|place| NAMES.split(' ').nth(place));
    known.map_or_else(|| format!("procedure {number}"), str::to_owned)
}

fn call(bytes: &mut Bytes<'_>) -> Result<Call, Unreadable> {
    let length = bytes.u16()?;
    let procedure = if length == u16::MAX {
        match bytes.u16()? {
            10 => Procedure::ExecuteSql,
            11 => Procedure::Prepare,
            12 => Procedure::Execute,
            13 => Procedure::PrepareAndExecute,
            15 => Procedure::Unprepare,
            other => Procedure::Other(cursor_procedure(other)),
        }
    } else {
        let name = bytes.text(usize::from(length))?;
        let bare = name.rsplit('.').next().unwrap_or(&name).trim_matches(['[', ']']);
        match bare.to_ascii_lowercase().as_str() {
            "sp_executesql" => Procedure::ExecuteSql,
            "sp_prepare" => Procedure::Prepare,
            "sp_execute" => Procedure::Execute,
            "sp_prepexec" => Procedure::PrepareAndExecute,
            "sp_unprepare" => Procedure::Unprepare,
            _ => Procedure::Other(name),
        }
    };
    let _options = bytes.u16()?;
    let mut parameters = Vec::new();
    loop {
        match bytes.peek() {
            None => break,
            // Another call follows. No name is that long: names have at most 128 characters.
            Some(0x80 | 0xFF | 0xFE) => {
                bytes.u8()?;
                break;
            }
            Some(_) if parameters.len() >= MAX_PARAMETERS => {
                return Err(invalid("more than 2100 parameters").into());
            }
            Some(_) => {
                let name = bytes.short_text()?;
                let status = bytes.u8()?;
                let (ty, value) = typed_value(bytes)?;
                let (output, left_out) = (status & 1 != 0, status & 2 != 0);
                parameters.push(Parameter { name, output, left_out, ty, value });
            }
        }
    }
    Ok(Call { procedure, parameters })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The headers that every client sends.
    pub(in crate::tds) fn headers() -> Vec<u8> {
        let mut data = vec![22, 0, 0, 0, 18, 0, 0, 0, 2, 0];
        data.extend([0; 8]);
        data.extend(1_u32.to_le_bytes());
        data
    }

    pub(in crate::tds) fn units(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    /// A parameter of type nvarchar.
    fn text_parameter(name: &str, text: &str) -> Vec<u8> {
        let mut data = vec![u8::try_from(name.len()).expect("short")];
        data.extend(units(name));
        data.extend([0, 0xE7, 0x40, 0x1F, 9, 4, 0xD0, 0, 0x34]);
        let text = units(text);
        data.extend(u16::try_from(text.len()).expect("short").to_le_bytes());
        data.extend(text);
        data
    }

    /// `sp_executesql` by its number, with one parameter.
    pub(in crate::tds) fn execute_sql(text: &str) -> Vec<u8> {
        let mut data = headers();
        data.extend([0xFF, 0xFF, 10, 0, 0, 0]);
        data.extend(text_parameter("stmt", text));
        data.extend(text_parameter("params", "@P1 int"));
        data.extend([3]);
        data.extend(units("@P1"));
        data.extend([1, 0x26, 4, 4, 7, 0, 0, 0]);
        data
    }

    #[test]
    fn a_call_by_number_and_one_by_name() {
        let read = calls(&execute_sql("SELECT @P1")).expect("well formed");
        let [one] = read.as_slice() else { panic!("one call") };
        assert_eq!(one.procedure, Procedure::ExecuteSql);
        let names: Vec<&str> = one.parameters.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["stmt", "params", "@P1"]);
        assert_eq!(one.parameters[2].value, Value::Int(7));
        assert!(one.parameters[2].output);

        let mut named = headers();
        named.extend(17_u16.to_le_bytes());
        named.extend(units("sys.sp_executesql"));
        named.extend([0, 0]);
        named.extend(text_parameter("", "SELECT 1"));
        named.push(0xFF);
        named.extend([0xFF, 0xFF, 15, 0, 0, 0]);
        named.extend([0, 0, 0x38, 1, 0, 0, 0]);
        let read = calls(&named).expect("well formed");
        assert_eq!(read[0].procedure, Procedure::ExecuteSql);
        assert_eq!(read[1].procedure, Procedure::Unprepare);
    }

    #[test]
    fn a_call_that_is_cut_short_is_refused() {
        let whole = execute_sql("SELECT @P1");
        for length in 0..whole.len() {
            // Some cuts are between parameters, and read as a call with fewer of them.
            if let Ok(read) = calls(&whole[..length]) {
                assert!(read[0].parameters.len() < 3, "{length}");
            }
        }
    }

    #[test]
    fn batches_and_transactions_are_behind_headers() {
        let data = [headers(), units("SELECT N'é'")].concat();
        assert_eq!(batch(&data).expect("well formed"), "SELECT N'é'");
        assert!(batch(&[3, 0, 0, 0]).is_err());
        assert!(batch(&[8, 0, 0, 0, 1, 0, 0, 0]).is_err());
        let begin = [headers(), vec![5, 0, 0, 0]].concat();
        assert_eq!(
            transaction(&begin).expect("well formed"),
            TransactionRequest::Begin { dirty: None }
        );
        let commit = [headers(), vec![7, 0, 0, 1, 0, 0]].concat();
        assert_eq!(
            transaction(&commit).expect("well formed"),
            TransactionRequest::Commit { begin_another: true }
        );
    }
}
