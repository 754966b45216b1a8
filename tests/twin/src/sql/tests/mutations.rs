//! Pieces of good statements in any order: whatever it is, it ends in an answer, and nothing panics.

use super::super::parse::parse_batch;
use super::Bench;

const SEED: u64 = 20_260_303;

const GOOD: [&str; 14] = [
    "CREATE TABLE dbo . t ( a int IDENTITY ( 1 , 1 ) PRIMARY KEY , b varchar ( 3 ) NULL DEFAULT ( 'x' ) , CHECK ( a > 0 ) )",
    "INSERT INTO t ( b ) OUTPUT inserted . a VALUES ( 'y' ) , ( DEFAULT )",
    "INSERT t ( b ) SELECT TOP ( 2 ) b FROM t",
    "UPDATE x SET b = 'z' , @v += 1 OUTPUT deleted . * FROM t AS x JOIN t y ON x . a = y . a WHERE x . a < 9",
    "DELETE TOP ( 1 ) FROM t WHERE b IS NULL",
    "ALTER TABLE t ADD c numeric ( 9 , 2 ) NOT NULL DEFAULT ( 1.5 ) , CONSTRAINT u UNIQUE ( b )",
    "ALTER TABLE t DROP COLUMN b ALTER TABLE t ALTER COLUMN c int NULL",
    "BEGIN TRAN SAVE TRAN s ROLLBACK TRAN s COMMIT",
    "BEGIN TRY SELECT 1 / 0 END TRY BEGIN CATCH SELECT ERROR_MESSAGE ( ) ; THROW ; END CATCH",
    "DECLARE @v int = 1 , @w nvarchar ( max ) DECLARE @q TABLE ( a int ) INSERT @q DEFAULT VALUES",
    "RAISERROR ( N'%s %d' , 16 , 1 , N'a' , 2 ) WITH NOWAIT , LOG",
    "SELECT ROW_NUMBER ( ) OVER ( PARTITION BY b ORDER BY a DESC ) r , SUM ( a ) OVER ( ) INTO #u FROM t",
    "EXEC ( 'SELECT 1' ) EXEC sp_executesql N'SELECT @p' , N'@p int OUTPUT' , @p = @v OUTPUT",
    "TRUNCATE TABLE t DROP TABLE IF EXISTS t , #u SET XACT_ABORT ON SET IDENTITY_INSERT t OFF",
];

fn mixed(rng: &mut fastrand::Rng) -> String {
    let mut words = Vec::new();
    for _ in 0..rng.usize(1..4) {
        let all: Vec<&str> = GOOD[rng.usize(0..GOOD.len())].split(' ').collect();
        let from = if rng.bool() { 0 } else { rng.usize(0..all.len()) };
        let to = if rng.bool() { all.len() } else { rng.usize(from..=all.len()) };
        words.extend_from_slice(&all[from..to]);
    }
    for _ in 0..rng.usize(0..3) {
        let (a, b) = (rng.usize(0..words.len().max(1)), rng.usize(0..words.len().max(1)));
        if a < words.len() && b < words.len() {
            words.swap(a, b);
        }
    }
    words.join(" ")
}

#[test]
fn pieces_of_statements_end_in_an_answer() {
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut bench = Bench::admin("sql01");
    bench.run("USE Sales");
    for _ in 0..1_500 {
        let text = mixed(&mut rng);
        let said = bench.run(&text);
        assert!(!said.contains("(never ends)"), "{text}");
    }
    bench.run("SET XACT_ABORT OFF IF @@TRANCOUNT > 0 ROLLBACK");
    assert_eq!(bench.run("SELECT @@TRANCOUNT n"), "n int not null\n0\n");
}

#[test]
fn loops_are_only_read() {
    let mut rng = fastrand::Rng::with_seed(SEED);
    for _ in 0..3_000 {
        let words = ["WHILE", "IF", "ELSE", "BEGIN", "END", "TRY", "CATCH", "BREAK", "1 = 1", ";"];
        let count = rng.usize(1..80);
        let picked: Vec<&str> = (0..count).map(|_| words[rng.usize(0..words.len())]).collect();
        let _ = parse_batch(&picked.join(" "));
    }
}
