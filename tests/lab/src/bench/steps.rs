//! Where the time of a run goes: what the two engines and the operator's hook took, what the plan
//! says is to be waited, and the rest, which is the agent's own.

use std::collections::BTreeMap;

use super::figures::quantile;

/// From one time to another, in milliseconds of the machine's clock.
pub(super) type Span = (i64, i64);

/// What is known of one run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// From the decisive signature to the end of the plan.
    pub(super) whole: Span,
    pub(super) steps: Vec<Step>,
    /// When an engine was at work on a command, by the twin's word.
    pub(super) engine: Vec<Span>,
    /// When the hook ran, by its own word.
    pub(super) hook: Vec<Span>,
}

/// A step, from its first begin to the entry that it is done.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) span: Span,
    /// For how long the plan wants something to stay still.
    pub(super) hold_ms: i64,
}

/// Milliseconds by who took them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spent {
    total: i64,
    engine: i64,
    hook: i64,
    wait: i64,
    agent: i64,
}

/// All runs of one kind.
#[derive(Debug, Default)]
pub(super) struct Table {
    runs: Vec<Run>,
}

impl Table {
    pub(super) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// One row for each step, in the order of the plan, then what lies between them, then all.
    pub(super) fn lines(&self, title: &str) -> Vec<String> {
        let Some(first) = self.runs.first() else {
            return vec![format!("{title}: no runs")];
        };
        let mut lines = vec![
            format!("{title}, {} runs, ms", self.runs.len()),
            format!(
                "  {:<16} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
                "step", "total", "max", "engine", "hook", "wait", "agent", "max"
            ),
        ];
        let mut by_step: BTreeMap<&str, Vec<Spent>> = BTreeMap::new();
        let (mut between, mut wholes) = (Vec::new(), Vec::new());
        for run in &self.runs {
            let mut sum = Spent { total: length(run.whole), ..Spent::default() };
            for step in &run.steps {
                let spent = run.spent(step);
                sum.engine += spent.engine;
                sum.hook += spent.hook;
                sum.wait += spent.wait;
                by_step.entry(&step.name).or_default().push(spent);
            }
            sum.agent = sum.total - sum.engine - sum.hook - sum.wait;
            let steps: i64 = run.steps.iter().map(|step| length(step.span)).sum();
            let gap = sum.total - steps;
            between.push(Spent { total: gap, agent: gap, ..Spent::default() });
            wholes.push(sum);
        }
        for step in &first.steps {
            lines.push(row(&step.name, &by_step[step.name.as_str()]));
        }
        lines.push(row("between steps", &between));
        lines.push(row("signature to end", &wholes));
        let all = |part: fn(&Spent) -> i64| wholes.iter().map(part).sum::<i64>();
        let (total, agent) = (all(|spent| spent.total), all(|spent| spent.agent));
        let steps: usize = self.runs.iter().map(|run| run.steps.len()).sum();
        lines.push(format!(
            "  of the whole: engine {:.0} %, hook {:.0} %, wait {:.0} %, agent {:.0} %: {} ms a step",
            percent(all(|spent| spent.engine), total),
            percent(all(|spent| spent.hook), total),
            percent(all(|spent| spent.wait), total),
            percent(agent, total),
            agent / i64::try_from(steps.max(1)).unwrap_or(i64::MAX),
        ));
        lines
    }
}

impl Run {
    fn spent(&self, step: &Step) -> Spent {
        let total = length(step.span);
        let engine = covered(step.span, &self.engine);
        let others = [&self.engine[..], &self.hook].concat();
        let outside = covered(step.span, &others);
        let wait = step.hold_ms.min(total - outside);
        let agent = total - outside - wait;
        Spent { total, engine, hook: outside - engine, wait, agent }
    }
}

fn row(name: &str, spent: &[Spent]) -> String {
    let sorted = |part: fn(&Spent) -> i64| {
        let mut all: Vec<i64> = spent.iter().map(part).collect();
        all.sort_unstable();
        all
    };
    let p50 = |part| quantile(&sorted(part), 50);
    let most = |part| sorted(part).last().copied().unwrap_or_default();
    format!(
        "  {name:<16} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        p50(|spent| spent.total),
        most(|spent| spent.total),
        p50(|spent| spent.engine),
        p50(|spent| spent.hook),
        p50(|spent| spent.wait),
        p50(|spent| spent.agent),
        most(|spent| spent.agent),
    )
}

fn length((from, to): Span) -> i64 {
    (to - from).max(0)
}

/// How much of `within` is covered by any of `spans`.
fn covered(within: Span, spans: &[Span]) -> i64 {
    let mut spans: Vec<Span> =
        spans.iter().map(|&(from, to)| (from.max(within.0), to.min(within.1))).collect();
    spans.sort_unstable();
    let (mut sum, mut at) = (0, within.0);
    for (from, to) in spans {
        sum += (to - from.max(at)).max(0);
        at = at.max(to);
    }
    sum
}

fn percent(part: i64, whole: i64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_counts_once() {
        assert_eq!(covered((10, 20), &[(0, 12), (11, 13), (19, 40), (30, 50)]), 4);
        assert_eq!(covered((10, 20), &[]), 0);
    }

    #[test]
    fn the_rest_is_the_agents() {
        let step = |name: &str, span, hold_ms| Step { name: name.to_owned(), span, hold_ms };
        let run = Run {
            whole: (0, 1_000),
            steps: vec![step("stop", (10, 500), 300), step("move", (520, 900), 0)],
            engine: vec![(530, 880)],
            hook: vec![(20, 120)],
        };
        assert_eq!(
            run.spent(&run.steps[0]),
            Spent { total: 490, engine: 0, hook: 100, wait: 300, agent: 90 }
        );
        assert_eq!(
            run.spent(&run.steps[1]),
            Spent { total: 380, engine: 350, hook: 0, wait: 0, agent: 30 }
        );
        let mut table = Table::default();
        table.add(run);
        let last = table.lines("x").pop().expect("a line");
        assert!(last.ends_with("engine 35 %, hook 10 %, wait 30 %, agent 25 %: 125 ms a step"));
    }

    #[test]
    fn a_hold_is_never_more_than_there_was_time() {
        let step = Step { name: "stop".to_owned(), span: (0, 100), hold_ms: 300 };
        let run = Run { whole: (0, 100), steps: Vec::new(), engine: Vec::new(), hook: Vec::new() };
        assert_eq!(run.spent(&step).agent, 0);
    }
}
