//! Tokens of a reply (MS-TDS 2.2.7).

use crate::sql::{Column, Error, Row, Value};

use super::encode::{COLLATION, type_info, value};

pub(super) const DONE: u8 = 0xFD;
pub(super) const DONE_PROC: u8 = 0xFE;
pub(super) const DONE_IN_PROC: u8 = 0xFF;

pub(super) const MORE: u16 = 0x01;
pub(super) const FAILED: u16 = 0x02;
const COUNTED: u16 = 0x10;
pub(super) const ATTENTION: u16 = 0x20;
pub(super) const SERVER_ERROR: u16 = 0x100;

/// The feature of text in UTF-8.
pub(super) const UTF8: u8 = 10;

/// Names and texts in messages are cut at what their length fields can say.
const MAX_TEXT: usize = 4_000;
const MAX_NAME: usize = 128;

pub(super) fn done(token: u8, status: u16, command: u16, count: Option<u64>, out: &mut Vec<u8>) {
    let status = if count.is_some() { status | COUNTED } else { status };
    out.push(token);
    out.extend(status.to_le_bytes());
    out.extend(command.to_le_bytes());
    out.extend(count.unwrap_or(0).to_le_bytes());
}

/// ERROR, or INFO if its class is at most 10.
pub(super) fn message(error: &Error, server: &str, out: &mut Vec<u8>) {
    let mut body = Vec::new();
    body.extend(error.number.to_le_bytes());
    body.extend([error.state, error.class]);
    let text = utf16(&error.message, MAX_TEXT);
    body.extend(u16::try_from(text.len() / 2).unwrap_or(0).to_le_bytes());
    body.extend(text);
    short_text(server, &mut body);
    short_text("", &mut body);
    body.extend(error.line.to_le_bytes());
    out.push(if error.class > 10 { 0xAA } else { 0xAB });
    out.extend(u16::try_from(body.len()).unwrap_or(0).to_le_bytes());
    out.extend(body);
}

pub(super) fn columns(columns: &[Column], out: &mut Vec<u8>) {
    out.push(0x81);
    out.extend(u16::try_from(columns.len()).unwrap_or(u16::MAX).to_le_bytes());
    for column in columns {
        out.extend(0_u32.to_le_bytes());
        // Bit 0: nullable; bit 3: whether it can be updated is not known.
        out.extend((8 | u16::from(column.nullable)).to_le_bytes());
        type_info(column, out);
        short_text(&column.name, out);
    }
}

/// ROW, or NBCROW where it is shorter, which is where many values are NULL, and the client has it.
pub(super) fn row(columns: &[Column], row: &Row, compact: bool, out: &mut Vec<u8>) {
    let nulls = row.iter().filter(|value| value.is_null()).count();
    if compact && nulls > row.len() / 8 + 1 {
        out.push(0xD2);
        let mut bitmap = vec![0_u8; columns.len().div_ceil(8)];
        for (at, value) in row.iter().enumerate() {
            if value.is_null() {
                bitmap[at / 8] |= 1 << (at % 8);
            }
        }
        out.extend(bitmap);
        for (column, cell) in columns.iter().zip(row).filter(|(_, cell)| !cell.is_null()) {
            value(column, cell, out);
        }
        return;
    }
    out.push(0xD1);
    for (column, cell) in columns.iter().zip(row) {
        value(column, cell, out);
    }
}

/// RETURNSTATUS of a procedure.
pub(super) fn return_status(status: i32, out: &mut Vec<u8>) {
    out.push(0x79);
    out.extend(status.to_le_bytes());
}

/// RETURNVALUE: an OUTPUT parameter.
pub(super) fn return_value(ordinal: u16, column: &Column, cell: &Value, out: &mut Vec<u8>) {
    out.push(0xAC);
    out.extend(ordinal.to_le_bytes());
    short_text(&column.name, out);
    out.push(1);
    out.extend(0_u32.to_le_bytes());
    out.extend(u16::from(column.nullable).to_le_bytes());
    type_info(column, out);
    value(column, cell, out);
}

/// What changes in the session's environment.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Database {
        new: String,
        old: String,
    },
    Language,
    PacketSize {
        new: usize,
        old: usize,
    },
    Collation,
    TransactionBegun(u64),
    TransactionCommitted(u64),
    TransactionRolledBack(u64),
    Reset,
    /// Another server of this protocol, which the client has to turn to.
    Routing {
        host: String,
        port: u16,
    },
}

pub(super) fn change(change: &Change, out: &mut Vec<u8>) {
    let mut body = Vec::new();
    let descriptor = |id: u64| [&[8][..], &id.to_le_bytes()].concat();
    match change {
        Change::Database { new, old } => {
            body.push(1);
            short_text(new, &mut body);
            short_text(old, &mut body);
        }
        Change::Language => {
            body.push(2);
            short_text("us_english", &mut body);
            short_text("", &mut body);
        }
        Change::PacketSize { new, old } => {
            body.push(4);
            short_text(&new.to_string(), &mut body);
            short_text(&old.to_string(), &mut body);
        }
        Change::Collation => {
            body.extend([7, 5]);
            body.extend(COLLATION);
            body.push(0);
        }
        Change::TransactionBegun(id) => {
            body.push(8);
            body.extend(descriptor(*id));
            body.push(0);
        }
        Change::TransactionCommitted(id) => {
            body.extend([9, 0]);
            body.extend(descriptor(*id));
        }
        Change::TransactionRolledBack(id) => {
            body.extend([10, 0]);
            body.extend(descriptor(*id));
        }
        Change::Reset => body.extend([18, 0, 0]),
        Change::Routing { host, port } => {
            let name = utf16(host, MAX_NAME);
            let length = u16::try_from(name.len() + 5).unwrap_or(0);
            body.push(20);
            body.extend(length.to_le_bytes());
            // TCP.
            body.push(0);
            body.extend(port.to_le_bytes());
            body.extend(u16::try_from(name.len() / 2).unwrap_or(0).to_le_bytes());
            body.extend(name);
            body.extend([0, 0]);
        }
    }
    out.push(0xE3);
    out.extend(u16::try_from(body.len()).unwrap_or(0).to_le_bytes());
    out.extend(body);
}

/// The newest version of the protocol that is spoken, 7.4; strict clients ask for it too.
const NEWEST: u32 = 0x7400_0004;
/// The first one that has NBCROW, 7.3 B.
const COMPACT: u32 = 0x730B_0003;

/// Whether a client of this version takes NBCROW.
pub(super) fn takes_compact(spoken: u32) -> bool {
    spoken >= COMPACT
}

/// LOGINACK: the older of both versions of the protocol, and the server's own.
pub(super) fn login_ack(spoken: u32, version: (u8, u8, u16), out: &mut Vec<u8>) {
    let (major, minor, build) = version;
    let mut body = vec![1];
    body.extend(spoken.min(NEWEST).to_be_bytes());
    short_text("Microsoft SQL Server", &mut body);
    body.extend([major, minor]);
    body.extend(build.to_be_bytes());
    out.push(0xAD);
    out.extend(u16::try_from(body.len()).unwrap_or(0).to_le_bytes());
    out.extend(body);
}

/// FEATUREEXTACK: of the sign-in with a token what the client wants to have back, and that UTF-8 is
/// there; nothing if it has asked for neither.
pub(super) fn features_ack(token: Option<&Option<[u8; 32]>>, utf8: bool, out: &mut Vec<u8>) {
    if token.is_none() && !utf8 {
        return;
    }
    out.push(0xAE);
    if let Some(nonce) = token {
        let nonce = nonce.as_ref().map_or(&[][..], |nonce| nonce);
        out.push(2);
        out.extend(u32::try_from(nonce.len()).unwrap_or(0).to_le_bytes());
        out.extend(nonce);
    }
    if utf8 {
        out.extend([UTF8, 1, 0, 0, 0, 1]);
    }
    out.push(0xFF);
}

/// FEDAUTHINFO: where a token is to be had, and for what.
pub(super) fn token_info(url: &str, resource: &str, out: &mut Vec<u8>) {
    let values = [(1, utf16(url, MAX_TEXT)), (2, utf16(resource, MAX_TEXT))];
    let mut head = 2_u32.to_le_bytes().to_vec();
    let mut data: Vec<u8> = Vec::new();
    // From the count on: the count itself, and nine bytes for each value.
    let first = 4 + 9 * values.len();
    for (id, value) in &values {
        head.push(*id);
        head.extend(u32::try_from(value.len()).unwrap_or(0).to_le_bytes());
        head.extend(u32::try_from(first + data.len()).unwrap_or(0).to_le_bytes());
        data.extend(value);
    }
    out.push(0xEE);
    out.extend(u32::try_from(head.len() + data.len()).unwrap_or(0).to_le_bytes());
    out.extend(head);
    out.extend(data);
}

/// SSPI: the server's part of the Windows authentication.
pub(super) fn sspi(message: &[u8], out: &mut Vec<u8>) {
    out.push(0xED);
    out.extend(u16::try_from(message.len()).unwrap_or(0).to_le_bytes());
    out.extend(message);
}

fn short_text(text: &str, out: &mut Vec<u8>) {
    let units = utf16(text, MAX_NAME);
    out.push(u8::try_from(units.len() / 2).unwrap_or(0));
    out.extend(units);
}

fn utf16(text: &str, most: usize) -> Vec<u8> {
    text.encode_utf16().take(most).flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Type;

    #[test]
    fn lengths_of_messages_are_counted_in_characters() {
        let mut out = Vec::new();
        let error =
            Error { number: 50_000, class: 16, state: 3, message: "é€".to_owned(), line: 2 };
        message(&error, "S", &mut out);
        let body = [
            &50_000_i32.to_le_bytes()[..],
            &[3, 16, 2, 0, 0xE9, 0, 0xAC, 0x20, 1, b'S', 0, 0, 2, 0, 0, 0],
        ]
        .concat();
        assert_eq!(out, [&[0xAA, 20, 0][..], &body].concat());
    }

    #[test]
    fn rows_with_many_nulls_have_a_bitmap() {
        let column = |nullable| Column { name: "a".to_owned(), ty: Type::Int, nullable };
        let columns = vec![column(true), column(true), column(true)];
        let mut out = Vec::new();
        let gaps = vec![Value::Null, Value::Int(5), Value::Null];
        row(&columns, &gaps, true, &mut out);
        assert_eq!(out, [0xD2, 0b101, 4, 5, 0, 0, 0]);
        out.clear();
        row(&columns, &gaps, takes_compact(0x730A_0003), &mut out);
        assert_eq!(out, [0xD1, 0, 4, 5, 0, 0, 0, 0]);
        out.clear();
        row(&columns, &vec![Value::Int(1), Value::Int(2), Value::Int(3)], true, &mut out);
        assert_eq!((out[0], out.len()), (0xD1, 16));
    }

    #[test]
    fn where_tokens_are_to_be_had_is_found_by_its_offsets() {
        let mut out = Vec::new();
        token_info("https://sts/t", "x", &mut out);
        assert_eq!((out[0], &out[1..5]), (0xEE, &[22 + 26 + 2, 0, 0, 0][..]));
        let body = &out[5..];
        assert_eq!(&body[..13], &[2, 0, 0, 0, 1, 26, 0, 0, 0, 22, 0, 0, 0]);
        assert_eq!(&body[13..22], &[2, 2, 0, 0, 0, 48, 0, 0, 0]);
        assert_eq!((&body[22..24], &body[48..]), (&b"h\0"[..], &b"x\0"[..]));
    }

    #[test]
    fn a_done_says_whether_it_counted() {
        let mut out = Vec::new();
        done(DONE, MORE, 0xC1, Some(3), &mut out);
        assert_eq!(out, [0xFD, 0x11, 0, 0xC1, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    }
}
