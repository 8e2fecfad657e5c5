//! Rows that refer to others: what the database finds out at COMMIT only is isolated, too.

use support::{Database, on_both_sinks};

use crate::{error, refused};

on_both_sinks!(
    a_child_that_comes_before_its_parent_passes_in_one_batch,
    children_without_a_parent_are_the_only_ones_refused_at_commit,
    a_child_before_its_parent_passes_beside_an_orphan,
    a_group_with_an_orphan_is_refused_whole,
    a_delete_that_would_leave_children_behind_is_the_only_one_refused,
    a_row_that_conflicts_only_with_an_orphan_is_written,
    an_orphan_takes_no_row_with_it_that_depends_on_a_late_parents_child,
);

const FAMILY: &str = "CREATE TABLE parents(id INTEGER PRIMARY KEY);
    CREATE TABLE children(
        id INTEGER PRIMARY KEY,
        parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED,
        u INTEGER UNIQUE
    );
    INSERT INTO parents VALUES (1);";

fn a_child_that_comes_before_its_parent_passes_in_one_batch<D: Database>() {
    let database = D::new(FAMILY);
    let buffer = database.buffer();
    let parents = buffer.table("parents").insert().producer().unwrap();
    let children = buffer.table("children").insert().producer().unwrap();
    let child = children.submit(&(1, 50, None::<i64>)).unwrap();
    let parent = parents.submit(&(50,)).unwrap();
    buffer.flush().unwrap();
    assert_eq!(refused(&[child, parent]), [0; 0]);
    assert_eq!(database.value::<i64>("SELECT parent FROM children"), 50);
}

fn children_without_a_parent_are_the_only_ones_refused_at_commit<D: Database>() {
    for orphans in [vec![0], vec![177], vec![399], vec![3, 388], vec![199, 200], (0..400).collect()]
    {
        let database = D::new(FAMILY);
        let buffer = database.buffer();
        let children = buffer.table("children").insert().producer().unwrap();
        let submit = |place: usize| {
            let parent = if orphans.contains(&place) { 99 } else { 1 };
            children.submit(&(place, parent, None::<i64>)).unwrap()
        };
        let receipts: Vec<_> = (0..400).map(submit).collect();
        buffer.flush().unwrap();
        assert_eq!(refused(&receipts), orphans);
        let error = error(&receipts[orphans[0]]);
        let (code, constraint) =
            D::either(("787", "FOREIGN KEY"), ("23503", "FOREIGN KEY children_parent_fkey"));
        assert_eq!((D::code(&error).as_str(), error.constraint()), (code, Some(constraint)));
        let there: i64 = database.value("SELECT count(*) FROM children WHERE parent = 1");
        assert_eq!(there, 400 - orphans.len() as i64);
        let stats = buffer.stats();
        assert_eq!(stats.rejected as usize, orphans.len());
        assert_eq!(stats.transactions, 1, "rehearsals are not counted");
    }
}

fn a_child_before_its_parent_passes_beside_an_orphan<D: Database>() {
    let database = D::new(FAMILY);
    let buffer = database.buffer();
    let parents = buffer.table("parents").insert().producer().unwrap();
    let children = buffer.table("children").insert().producer().unwrap();
    let mut receipts = vec![
        children.submit(&(0, 50, None::<i64>)).unwrap(),
        children.submit(&(1, 99, None::<i64>)).unwrap(),
    ];
    receipts.extend((2..120).map(|id| children.submit(&(id, 1, None::<i64>)).unwrap()));
    receipts.push(parents.submit(&(50,)).unwrap());
    buffer.flush().unwrap();
    assert_eq!(refused(&receipts), [1]);
}

fn a_group_with_an_orphan_is_refused_whole<D: Database>() {
    let database = D::new(FAMILY);
    let buffer = database.buffer();
    let parents = buffer.table("parents").insert().producer().unwrap();
    let children = buffer.table("children").insert().producer().unwrap();
    let family = |id: i64, parent: i64| {
        let group = buffer.group(|group| {
            group.add(&children, &(id, parent, None::<i64>))?;
            group.add(&parents, &(id,))
        });
        group.unwrap()
    };
    let receipts: Vec<_> =
        (100..200).map(|id| family(id, if id == 150 { 99 } else { id })).collect();
    buffer.flush().unwrap();
    assert_eq!(refused(&receipts), [50]);
    for table in ["parents", "children"] {
        let ids = database.column::<i64>(&format!("SELECT id FROM {table} WHERE id >= 100"));
        assert_eq!((ids.len(), ids.contains(&150)), (99, false), "{table}");
    }
    assert_eq!(buffer.stats().rejected, 2);
}

fn a_delete_that_would_leave_children_behind_is_the_only_one_refused<D: Database>() {
    let database = D::new(FAMILY);
    let parents: String =
        (2..100).map(|id| format!("INSERT INTO parents VALUES ({id});")).collect();
    database.run(&format!("{parents} INSERT INTO children VALUES (1, 42, NULL)"));
    let buffer = database.buffer();
    let parents = buffer.table("parents").delete(["id"]).producer().unwrap();
    let receipts: Vec<_> = (1..100).map(|id| parents.submit(&(id,)).unwrap()).collect();
    buffer.flush().unwrap();
    assert_eq!(refused(&receipts), [41]);
    assert_eq!(database.column::<i64>("SELECT id FROM parents"), [42]);
}

fn a_row_that_conflicts_only_with_an_orphan_is_written<D: Database>() {
    let database = D::new(FAMILY);
    let buffer = database.buffer();
    let children = buffer.table("children").insert().producer().unwrap();
    let orphan = children.submit(&(1, 99, 5)).unwrap();
    let twin = children.submit(&(2, 1, 5)).unwrap();
    buffer.flush().unwrap();
    assert_eq!(refused(&[orphan, twin]), [0], "alone, the second row is good");
    assert_eq!(database.column::<i64>("SELECT id FROM children"), [2]);
}

fn an_orphan_takes_no_row_with_it_that_depends_on_a_late_parents_child<D: Database>() {
    let database = D::new(&format!(
        "{FAMILY} CREATE TABLE toys(id INTEGER PRIMARY KEY, child INTEGER REFERENCES children);"
    ));
    let buffer = database.buffer();
    let parents = buffer.table("parents").insert().producer().unwrap();
    let children = buffer.table("children").insert().producer().unwrap();
    let toys = buffer.table("toys").insert().producer().unwrap();
    let receipts = [
        children.submit(&(7, 50, None::<i64>)).unwrap(),
        toys.submit(&(1, 7)).unwrap(),
        parents.submit(&(50,)).unwrap(),
        children.submit(&(8, 99, None::<i64>)).unwrap(),
    ];
    buffer.flush().unwrap();
    assert_eq!(refused(&receipts), [3], "without the orphan the batch commits as it is");
}
