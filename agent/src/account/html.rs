//! One page that needs nothing else: no script, no picture, no other address.

use std::fmt::Write as _;

use agent_core::{
    Decision, End,
    account::{Account, LossAccount, StepAccount, Try, TryEnd},
    seconds,
};
use jiff::Timestamp;

/// Of the drawing.
const WIDTH: f64 = 940.0;
const LABELS: f64 = 300.0;
const ROW: f64 = 22.0;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:980px;margin:2em auto;padding:0 1em;color:#1b1f24}\
h1{font-size:1.5em;margin-bottom:.1em}h2{font-size:1.1em;margin:2em 0 .4em}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;vertical-align:top;padding:.25em .8em .25em 0;border-bottom:1px solid #d8dee4}\
td.n{text-align:right;white-space:nowrap}code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}\
.good{color:#116329}.bad{color:#a40e26}svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#1b1f24}\
.look{fill:#c8d1da}.engine{fill:#2f6feb}.hook{fill:#8250df}.people{fill:#e3b341}.failed{fill:#cf222e}\
.axis{stroke:#8c959f;stroke-width:1}.return{stroke:#cf222e;stroke-width:1.5;stroke-dasharray:4 3}";

/// The account as one HTML page, with the timeline drawn.
#[must_use]
pub fn page(account: &Account) -> String {
    let mut out = String::new();
    let id = account.proposal;
    let title = format!("{} of {}, proposal {id}", kind(account), account.link);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\n<body>\n<h1>{0}</h1>\n",
        text(&title)
    );
    outcome(&mut out, account);
    drawing(&mut out, account);
    recovery(&mut out, account);
    lost(&mut out, &account.loss);
    signatures(&mut out, account);
    steps(&mut out, account);
    notes(&mut out, account);
    let _ = write!(
        out,
        "<p>Entries {} to {} of the journal. Digest of what was signed: <code>{}</code></p>\n</body></html>\n",
        account.first,
        account.last,
        text(&account.digest)
    );
    out
}

fn kind(account: &Account) -> String {
    let words = serde_json::to_value(account.kind).unwrap_or_default();
    let words = words.as_str().unwrap_or_default().replace('_', " ");
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

fn outcome(out: &mut String, account: &Account) {
    let (class, words) = match account.end {
        None => ("", "not over".to_owned()),
        Some(End::Succeeded) => ("good", End::Succeeded.to_string()),
        Some(end) => ("bad", end.to_string()),
    };
    let why = account.why.as_deref().map(|why| format!(": {}", text(why))).unwrap_or_default();
    let _ = writeln!(out, "<p><b class=\"{class}\">{}</b>{why}</p>", text(&words));
    out.push_str("<table>\n");
    row(out, "opened", &moment(account.opened_at));
    let target = account.target.map_or_else(|| "-".to_owned(), |side| side.to_string());
    row(out, "primary afterwards", &text(&target));
    row(out, "because", &text(&account.reasons.join("; ")));
    if let Some(at) = account.approved_at {
        row(out, "approved", &format!("{}, {} later", moment(at), span(account.opened_at, at)));
    }
    if let Some(at) = account.closed_at {
        row(out, "closed", &moment(at));
    }
    if let Some(spent) = &account.spent {
        let parts = spent.parts().into_iter().filter(|(_, ms)| *ms > 0);
        let parts: Vec<_> = parts.map(|(what, ms)| format!("{what} {}", seconds(ms))).collect();
        let whole = seconds(spent.whole_ms);
        row(out, "from approval to end", &format!("{whole}: {}", parts.join(", ")));
    }
    for turned in account.undone.iter() {
        row(out, "taken back from", &format!("{}: {}", moment(turned.at), text(&turned.words)));
    }
    for at in &account.restarts {
        row(out, "the agent was started again", &moment(*at));
    }
    out.push_str("</table>\n");
}

/// Rows of bars over time: signatures, then each step; engine and looks apart.
fn drawing(out: &mut String, account: &Account) {
    let Some(to) = account.closed_at.or_else(|| newest(account)) else { return };
    let from = account.approved_at.unwrap_or(account.opened_at);
    let whole = to.duration_since(from).as_secs_f64().max(0.001);
    let x = |at: Timestamp| {
        let part = at.duration_since(from).as_secs_f64() / whole;
        LABELS + part.clamp(0.0, 1.0) * (WIDTH - LABELS)
    };
    let rows = account.steps.len();
    let height = ROW * (count(rows) + 2.0);
    out.push_str("<h2>Timeline</h2>\n");
    let _ = writeln!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Timeline of the run\">"
    );
    for (place, step) in account.steps.iter().enumerate() {
        let y = ROW * count(place);
        bars(out, step, y, &x, to);
        let label: String = label(step).chars().take(46).collect();
        let _ = writeln!(out, "<text x=\"0\" y=\"{:.1}\">{}</text>", y + 14.0, text(&label));
    }
    let base = ROW * count(rows) + 4.0;
    let _ = writeln!(
        out,
        "<line class=\"axis\" x1=\"{LABELS}\" y1=\"{base}\" x2=\"{WIDTH}\" y2=\"{base}\"/>"
    );
    for part in 0..=4_u8 {
        let share = f64::from(part) / 4.0;
        let anchor = match part {
            0 => "start",
            4 => "end",
            _ => "middle",
        };
        let at = LABELS + share * (WIDTH - LABELS);
        let _ = writeln!(
            out,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{:.1} s</text>",
            base + 16.0,
            share * whole
        );
    }
    out.push_str("</svg>\n<p>From the approval to the end. Grey: looks and waits; blue: servers and Azure; violet: hooks; red: without effect; dashed: the point of no return.</p>\n");
}

fn bars(
    out: &mut String,
    step: &StepAccount,
    y: f64,
    x: &impl Fn(Timestamp) -> f64,
    to: Timestamp,
) {
    for tried in &step.tries {
        let end = tried.ended_at.unwrap_or(to);
        bar(out, "look", (x(tried.started_at), x(end)), y, &told(tried));
        let Some(sent) = tried.sent_at else { continue };
        let class = match tried.end {
            TryEnd::NotDone | TryEnd::Unknown => "failed",
            TryEnd::Done | TryEnd::UnderWay if tried.hook => "hook",
            TryEnd::Done | TryEnd::UnderWay => "engine",
        };
        bar(out, class, (x(sent), x(end)), y, &told(tried));
        if step.no_return {
            let at = x(sent);
            let _ = writeln!(
                out,
                "<line class=\"return\" x1=\"{at:.1}\" y1=\"{y:.1}\" x2=\"{at:.1}\" y2=\"{:.1}\"/>",
                y + ROW
            );
        }
    }
}

fn bar(out: &mut String, class: &str, (from, to): (f64, f64), y: f64, title: &str) {
    let width = (to - from).max(1.5);
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"14\"><title>{}</title></rect>",
        y + 3.0,
        text(title)
    );
}

fn recovery(out: &mut String, account: &Account) {
    let Some(recovery) = &account.recovery else { return };
    let _ = write!(
        out,
        "<h2>Recovery time</h2>\n<p><b>{}</b>, from {} to {}. The way of the applications to the new primary is not in it.</p>\n<table>\n",
        seconds(recovery.whole_ms),
        moment(recovery.from),
        moment(recovery.to)
    );
    for part in &recovery.parts {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            text(&part.what),
            seconds(part.ms),
            clock(part.until)
        );
    }
    out.push_str("</table>\n");
}

fn lost(out: &mut String, loss: &LossAccount) {
    out.push_str("<h2>Loss</h2>\n<table>\n");
    row(out, "forecast", &text(&loss.forecast.to_string()));
    let signed = loss
        .signed_most_ms
        .map_or_else(|| "as unknown".to_owned(), |most| format!("up to {}", seconds(most)));
    row(out, "signed", &signed);
    row(out, "measured", &text(&loss.measured.to_string()));
    out.push_str("</table>\n");
}

fn signatures(out: &mut String, account: &Account) {
    out.push_str("<h2>Signatures</h2>\n<table>\n");
    for signed in &account.signatures {
        let words = match &signed.decision {
            Decision::Approve { attestation: Some(words), .. } => {
                format!("approves, attesting: {words}")
            }
            Decision::Approve { break_glass: true, .. } => {
                "approves, breaking the glass".to_owned()
            }
            Decision::Approve { .. } => "approves".to_owned(),
            Decision::Reject { reason } => format!("rejects: {reason}"),
        };
        let who = format!("{} {}", moment(signed.at), text(signed.approver.as_str()));
        row(out, &who, &text(&words));
    }
    if account.signatures.is_empty() {
        row(out, "-", "nobody has signed");
    }
    out.push_str("</table>\n");
}

fn steps(out: &mut String, account: &Account) {
    out.push_str("<h2>Steps</h2>\n<table>\n<tr><th>step</th><th>begun</th><th>took</th><th>of that, engine</th><th>how it went</th></tr>\n");
    for step in &account.steps {
        for tried in &step.tries {
            let took =
                tried.ended_at.map_or_else(|| "-".to_owned(), |end| span(tried.started_at, end));
            let engine = if tried.sent_at.is_some() && tried.end == TryEnd::Done {
                seconds(tried.engine_ms).to_string()
            } else {
                String::new()
            };
            let route = tried
                .route
                .as_deref()
                .map_or_else(String::new, |route| format!("<br><code>{}</code>", text(route)));
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{took}</td><td class=\"n\">{engine}</td><td>{}{route}</td></tr>",
                text(&label(step)),
                clock(tried.started_at),
                text(&told(tried))
            );
        }
        if let Some(warning) = &step.warning {
            let _ = writeln!(
                out,
                "<tr><td></td><td></td><td></td><td></td><td class=\"bad\">missing: {}</td></tr>",
                text(warning)
            );
        }
    }
    out.push_str("</table>\n");
    if !account.health_changes.is_empty() {
        out.push_str("<h2>Verdicts meanwhile</h2>\n<table>\n");
        for turned in &account.health_changes {
            row(out, &moment(turned.at), &text(&turned.words));
        }
        out.push_str("</table>\n");
    }
}

fn notes(out: &mut String, account: &Account) {
    if account.notes.is_empty() {
        return;
    }
    out.push_str("<h2>What the approvers were told</h2>\n<ul>\n");
    for note in &account.notes {
        let _ = writeln!(out, "<li>{}</li>", text(note));
    }
    out.push_str("</ul>\n");
}

fn label(step: &StepAccount) -> String {
    let back = if step.undo { ", back" } else { "" };
    format!("{}{back}. {}", step.step + 1, step.action)
}

fn told(tried: &Try) -> String {
    let how = match tried.end {
        TryEnd::UnderWay => "under way",
        TryEnd::Done => "seen",
        TryEnd::NotDone => "without effect",
        TryEnd::Unknown => "nobody can tell",
    };
    let again = if tried.attempt > 1 { format!("try {}, ", tried.attempt) } else { String::new() };
    if tried.words.is_empty() {
        format!("{again}{how}")
    } else {
        format!("{again}{how}: {}", tried.words)
    }
}

fn newest(account: &Account) -> Option<Timestamp> {
    let tries = account.steps.iter().flat_map(|step| &step.tries);
    tries.map(|tried| tried.ended_at.unwrap_or(tried.started_at)).max()
}

/// Of things that are few.
fn count(of: usize) -> f64 {
    f64::from(u32::try_from(of).unwrap_or(u32::MAX))
}

fn row(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "<tr><th>{name}</th><td>{value}</td></tr>");
}

fn moment(at: Timestamp) -> String {
    format!("{at:.0}")
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S%.3f").to_string()
}

fn span(from: Timestamp, to: Timestamp) -> String {
    let ms = u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0);
    seconds(ms).to_string()
}

/// What stands in the journal is words of others, too.
fn text(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
