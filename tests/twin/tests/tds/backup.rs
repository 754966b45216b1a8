//! Backups over the wire.

use crate::door::{Doors, code, number, rows, text, until};

const FULL: &str =
    "BACKUP DATABASE [Sales] TO DISK = N'C:\\Backup\\s.bak' WITH CHECKSUM, INIT, STATS = 25";
const COUNT: &str = "SELECT COUNT(*) FROM msdb.dbo.backupset";

#[tokio::test]
async fn a_backup_takes_time_and_leaves_a_row() {
    let doors = Doors::open().await;
    let mut admin = doors.admin(doors.sql).await;
    let mut watcher = doors.admin(doors.sql).await;
    let before = number(&mut watcher, COUNT).await;
    let seen = "SELECT COALESCE((SELECT MAX(command) FROM sys.dm_exec_requests \
                WHERE percent_complete > 0), N'none')";
    let ((), ()) = tokio::join!(
        async {
            admin
                .simple_query(FULL)
                .await
                .expect("sent")
                .into_results()
                .await
                .map(|_| ())
                .expect("done")
        },
        until(&mut watcher, seen, "BACKUP DATABASE"),
    );
    assert_eq!(number(&mut watcher, COUNT).await, before + 1);
    let last = "SELECT TOP (1) type + N' ' + mf.physical_device_name FROM msdb.dbo.backupset bs \
                JOIN msdb.dbo.backupmediafamily mf ON mf.media_set_id = bs.media_set_id \
                ORDER BY backup_set_id DESC";
    assert_eq!(text(&mut watcher, last).await, "D C:\\Backup\\s.bak");
    let header = rows(&mut admin, "RESTORE HEADERONLY FROM DISK = N'C:\\Backup\\s.bak'").await;
    assert_eq!(header.expect("it answers")[0].get::<&str, _>("DatabaseName"), Some("Sales"));
    let nowhere = "BACKUP DATABASE Sales TO DISK = N'Q:\\s.bak'";
    assert_eq!(code(rows(&mut admin, nowhere).await), 3_201);
}

#[tokio::test]
async fn a_connection_that_dies_takes_its_backup_with_it() {
    let doors = Doors::open().await;
    let mut client = doors.admin(doors.sql).await;
    let mut watcher = doors.admin(doors.sql).await;
    let before = number(&mut watcher, COUNT).await;
    let running = "SELECT COALESCE((SELECT MAX(command) FROM sys.dm_exec_requests \
                   WHERE command LIKE N'BACKUP%'), N'none')";
    tokio::select! {
        answer = rows(&mut client, FULL) => panic!("an answer: {answer:?}"),
        () = until(&mut watcher, running, "BACKUP DATABASE") => {}
    }
    drop(client);
    until(&mut watcher, running, "none").await;
    rows(&mut watcher, "WAITFOR DELAY '00:00:10'").await.expect("it waits");
    assert_eq!(number(&mut watcher, COUNT).await, before);
}
