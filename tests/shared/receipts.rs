//! What a receipt tells, to threads and to tasks.

use support::{Database, on_both_sinks};

on_both_sinks!(eighty_threads_that_wait_share_their_commits, a_thousand_tasks_await_their_rows,);

fn eighty_threads_that_wait_share_their_commits<D: Database>() {
    let database = D::new("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER)");
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    std::thread::scope(|scope| {
        for worker in 0..80_i64 {
            let t = t.clone();
            scope.spawn(move || {
                for n in 0..25_i64 {
                    t.write(&(worker, n)).unwrap();
                }
            });
        }
    });
    let stats = buffer.stats();
    assert_eq!(stats.committed, 2_000);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t WHERE n = 24"), 80);
}

fn a_thousand_tasks_await_their_rows<D: Database>() {
    let database = D::new("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER)");
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..1_000_i64)
            .map(|id| {
                let t = t.clone();
                tokio::spawn(async move { t.submit_async(&(id, 1)).await.unwrap().await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), 1_000);
}
