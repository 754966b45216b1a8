//! The flight recorder: what each turn of the loop was given, with the entry it followed and the
//! time it was taken at. With the journal it is enough to decide everything once more, byte for byte
//! (`replay.rs`), and so to answer, later, why the agent decided what it did.
//!
//! Recorded are all observations, all inputs that were accepted (a refused one changes nothing), and
//! the turns in which something followed from time alone. At the beginning of a life, of a segment,
//! and after a gap stands a [`Mark`]: what was configured, and all evidence as it was then, so that
//! a replay can begin there. Secrets are in none of it.
//!
//! It is never in the way. The turn clones what it was given and tries to put it into a bounded
//! queue; a thread of its own writes. Where that one can't keep up, or the disk is full or fails,
//! turns are lost, counted and told of: the next thing that is recorded is a mark that says how
//! many.
//!
//! The files are `segment-NNNNNNNNNN.log` in one folder, bounded together: the oldest goes first.
//! Each begins with the line `dr-agent recorder 1 segment N`, then one frame a line:
//!
//! ```text
//! LENGTH HASH JSON
//! ```
//!
//! `LENGTH` is the number of bytes of `JSON` in 8 hexadecimal digits, `HASH` the first 16 bytes of
//! SHA-256 over the hash before it and `JSON`, in 32; the hash before the first is that of the line
//! at the top. `JSON` is `{"mark":…}` or `{"turn":…}`. In it a look stands either in full (`full`),
//! or by its link and vantage with what is not as in the look before it (`but`). The last line of a
//! segment may be torn: nothing of it was ever there.

mod disk;
mod frame;
mod line;
mod looks;
mod reader;
mod tape;
mod writer;

pub use disk::{Disk, Folder};
pub use frame::{Frame, Given, Life, Mark, Settings, Why};
pub use reader::{Found, Recording, Segment};
pub use tape::{Begun, Feed, Gauge, Recorder, tape};
pub use writer::{Bounds, WriterThread, spawn};
