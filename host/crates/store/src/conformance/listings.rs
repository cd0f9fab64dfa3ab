//! Tests of listings, page by page.

use fusebox_core::limits::PAGE_ROWS_MAX;

use super::{Subject, accept, new_task, one_task, register, tenant};
use crate::{NewTask, PageRequest, Verdict};

/// Creates a request for a page.
pub(crate) fn page(rows: u32, cursor: Option<String>) -> PageRequest {
    PageRequest { cursor, rows }
}

pub(crate) async fn tasks_are_paged_newest_first(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let mut expected = Vec::new();
    for _ in 0..7 {
        expected.insert(0, accept(subject, new_task(subject, &function)).await);
        subject.pass(1).await;
    }
    let (mut found, mut sizes, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let page = subject.store().tasks(&tenant, &page(3, cursor)).await.unwrap();
        sizes.push(page.items.len());
        found.extend(page.items.iter().map(|task| task.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        // A task accepted meanwhile belongs to no later page.
        accept(subject, new_task(subject, &function)).await;
    }
    assert_eq!((found, sizes), (expected, vec![3, 3, 1]));
}

pub(crate) async fn functions_are_paged_by_name(subject: &dyn Subject) {
    let tenant = tenant("acme");
    for name in ["b", "a/1", "a", "é", "a", "ab"] {
        register(subject, &tenant, name).await;
    }
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = subject.store().functions(&tenant, &page(2, cursor)).await.unwrap();
        found.extend(page.items.iter().map(|function| (function.name.to_string(), function.version)));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let expected = [("a", 2), ("a/1", 1), ("ab", 1), ("b", 1), ("é", 1)];
    assert_eq!(found, expected.map(|(name, version)| (name.to_owned(), version)));
}

pub(crate) async fn versions_are_paged_newest_first(subject: &dyn Subject) {
    let (tenant, name) = (tenant("acme"), "f".parse().unwrap());
    for _ in 0..5 {
        register(subject, &tenant, "f").await;
    }
    let (mut found, mut sizes, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let page = subject.store().versions(&tenant, &name, &page(2, cursor)).await.unwrap();
        sizes.push(page.items.len());
        found.extend(page.items.iter().map(|version| version.version));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        // A version registered meanwhile belongs to no later page.
        register(subject, &tenant, "f").await;
    }
    assert_eq!((found, sizes), (vec![5, 4, 3, 2, 1], vec![2, 2, 1]));
}

pub(crate) async fn a_foreign_cursor_gives_no_rows(subject: &dyn Subject) {
    let (tenant, _) = one_task(subject).await;
    for cursor in ["nonsense", "é", "0"] {
        let asked = page(10, Some(cursor.to_owned()));
        let tasks = subject.store().tasks(&tenant, &asked).await.unwrap();
        assert_eq!((tasks.items, tasks.next), (vec![], None));
        let functions = subject.store().functions(&tenant, &asked).await.unwrap();
        assert_eq!((functions.items, functions.next), (vec![], None));
        let versions = subject.store().versions(&tenant, &"f".parse().unwrap(), &asked).await.unwrap();
        assert_eq!((versions.items, versions.next), (vec![], None));
    }
}

pub(crate) async fn a_page_has_its_bounds(subject: &dyn Subject) {
    let (tenant, _) = one_task(subject).await;
    let function = register(subject, &tenant, "f").await;
    let tasks = (0..PAGE_ROWS_MAX).map(|_| new_task(subject, &function)).collect();
    subject.store().accept(tasks).await.unwrap();
    let all = subject.store().tasks(&tenant, &page(u32::MAX, None)).await.unwrap();
    assert_eq!((all.items.len(), all.next.is_some()), (PAGE_ROWS_MAX as usize, true));
    let one = subject.store().tasks(&tenant, &page(0, None)).await.unwrap();
    assert_eq!(one.items.len(), 1);
    let rest = subject.store().tasks(&tenant, &page(PAGE_ROWS_MAX, all.next)).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (1, None));
}

pub(crate) async fn dead_letters_are_paged_latest_first(subject: &dyn Subject) {
    let (tenant, completed) = one_task(subject).await;
    let function = register(subject, &tenant, "f").await;
    let leased = super::lease_one(subject, &tenant).await;
    assert_eq!(leased.task.id, completed);
    super::finish(subject, super::claim(&leased), super::end("out")).await;
    let cancelled = accept(subject, new_task(subject, &function)).await;
    super::cancel(subject, &tenant, cancelled).await;
    let mut expected = Vec::new();
    for _ in 0..3 {
        let new = NewTask { attempts_max: 1, ..new_task(subject, &function) };
        expected.insert(0, accept(subject, new).await);
        let leased = super::lease_one(subject, &tenant).await;
        super::finish(subject, super::claim(&leased), Verdict::Retry { delay_ms: 0 }).await;
        subject.pass(1).await;
    }
    let store = subject.store();
    let first = store.dead_letters(&tenant, &page(2, None)).await.unwrap();
    let last = store.dead_letters(&tenant, &page(2, first.next.clone())).await.unwrap();
    let found: Vec<_> = first.items.iter().chain(&last.items).map(|task| task.id).collect();
    assert_eq!((found, first.items.len(), last.next), (expected, 2, None));
    assert_eq!(store.dead_letters(&super::tenant("other"), &page(9, None)).await.unwrap().items, []);
    subject.pass(super::FAILED_MS + 1_000).await;
    store.tick().await.unwrap();
    assert_eq!(store.dead_letters(&tenant, &page(9, None)).await.unwrap().items, []);
}
