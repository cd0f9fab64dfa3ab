//! Tasks on the command line: batches, retries of failed tasks, streams of changes, the list of workers.

use fusebox_harness::guests;
use serde_json::{Value, json};

use crate::{
    cli::{fusebox, stderr, stdout},
    server,
};

const LINES: usize = 1_500;

fn json_of(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn each_line_of_a_file_becomes_a_task_once() {
    let (server, home) = server(&[]);
    server.client().register("echo", "", &guests::echo()).await.unwrap();
    let file = home.path().join("lines.txt");
    let text: String = (0..LINES).map(|n| format!("line {n}\n\n")).collect();
    std::fs::write(&file, text).unwrap();
    let run = |more: &str| fusebox(server.url(), &format!("batch echo {} --wait{more}", file.display()));

    let first = json_of(&run(" --key k --output json"));
    assert_eq!((&first["accepted"], &first["refused"], &first["failed"]), (&LINES.into(), &0.into(), &0.into()));
    let last = &first["items"][LINES - 1];
    assert_eq!((&last["line"], &last["status"]), (&(2 * LINES - 1).into(), &"COMPLETED".into()));
    assert_eq!(last["result"], "bGluZSAxNDk5");
    let again = json_of(&run(" --key k --output json"));
    assert_eq!(again["items"][LINES - 1]["task"], last["task"]);
    let summary = stdout(&run(""));
    assert!(summary.lines().any(|line| line.split_whitespace().eq(["COMPLETED", "1,500"])), "{summary}");
}

#[tokio::test]
async fn a_refused_line_is_named_and_the_others_run() {
    let (server, home) = server(&[]);
    server.client().register("echo", "", &guests::echo()).await.unwrap();
    let file = home.path().join("items.ndjson");
    std::fs::write(&file, "{\"text\":\"a\"}\n{\"txt\":\"b\"}\n{\"json\":{\"c\":1}}\n").unwrap();
    let output = fusebox(server.url(), &format!("batch echo {} --items --wait", file.display()));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("line 2: ") && stderr(&output).contains("txt"), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("COMPLETED") && text.contains("unprocessable-request"), "{text}");
    for (line, code) in [("batch none /dev/null", 0), ("batch echo /nowhere/at.all", 1), ("batch echo", 2)] {
        assert_eq!(fusebox(server.url(), line).status.code(), Some(code), "{line}");
    }
}

#[tokio::test]
async fn an_ended_task_is_purged() {
    let (server, _home) = server(&[]);
    server.client().register("echo", "", &guests::echo()).await.unwrap();
    let run = |line: &str| fusebox(server.url(), line);
    let id = stdout(&run("invoke echo --data x --detach"));
    let id = id.trim();
    stdout(&run(&format!("tasks {id} --wait")));
    let refused = run(&format!("tasks {id} --cancel"));
    assert!(stderr(&refused).contains("purge=true"), "{}", stderr(&refused));
    assert!(stdout(&run(&format!("tasks purge {id}"))).contains(&format!("{id} is deleted")));
    for line in [format!("tasks {id}"), format!("tasks purge {id}")] {
        assert_eq!(run(&line).status.code(), Some(4), "{line}");
    }
}

#[tokio::test]
async fn what_failed_is_tried_again() {
    let (server, home) = server(&[]);
    server.client().register("trap", "", &guests::trap()).await.unwrap();
    let run = |line: &str| fusebox(server.url(), line);
    assert!(stdout(&run("dead-letters")).contains("no dead letters"));
    let file = home.path().join("one.txt");
    std::fs::write(&file, "x").unwrap();
    let output = run(&format!("batch trap {} --wait --output json", file.display()));
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let id = json_of(&output)["items"][0]["task"].as_str().unwrap().to_owned();

    assert!(stdout(&run("dead-letters list --function trap")).contains(&id));
    let retried = stdout(&run(&format!("tasks retry {id} --wait")));
    assert!(retried.contains("FAILED") && retried.contains(&format!("retry of  {id}")), "{retried}");
    let replayed = stdout(&run(&format!("dead-letters replay {id}")));
    assert!(replayed.contains("replayed") && !replayed.contains("before"), "{replayed}");
    let again = json_of(&run("dead-letters replay --all --output json"));
    let of_id = again["items"].as_array().unwrap().iter().find(|row| row["retry_of"] == id.as_str()).unwrap();
    assert_eq!(of_id["replayed"], true);
    let none = run("dead-letters replay 0190d5a0-7b1a-7c3e-8f00-0123456789ab");
    assert_eq!(none.status.code(), Some(1), "{}", stderr(&none));
    assert_eq!(run("dead-letters replay").status.code(), Some(2));
    assert_eq!(run(&format!("tasks retry {}", "0190d5a0-7b1a-7c3e-8f00-0123456789ab")).status.code(), Some(4));
}

#[tokio::test]
async fn changes_are_told_until_the_end() {
    let (server, _home) = server(&[]);
    server.client().register("echo", "", &guests::echo()).await.unwrap();
    let run = |line: &str| fusebox(server.url(), line);
    let id = stdout(&run("invoke echo --data x --detach --delay 1s"));
    let told = stdout(&run(&format!("tasks events {} --output json", id.trim())));
    let statuses: Vec<Value> =
        told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["status"].clone()).collect();
    assert_eq!((&statuses[0], statuses.last()), (&json!("QUEUED"), Some(&json!("COMPLETED"))), "{told}");
    assert!(stdout(&run(&format!("tasks events {}", id.trim()))).starts_with("COMPLETED  attempt 1/3  "));
    assert_eq!(run("tasks events 0190d5a0-7b1a-7c3e-8f00-0123456789ab").status.code(), Some(4));
    assert!(json_of(&run("workers --output json")).is_array());
}

#[tokio::test]
async fn tasks_are_found_counted_and_retried_by_a_filter() {
    let (server, home) = server(&[]);
    for (name, module) in [("echo", guests::echo()), ("trap", guests::trap())] {
        server.client().register(name, "", &module).await.unwrap();
    }
    let run = |line: &str| fusebox(server.url(), line);
    let file = home.path().join("lines.txt");
    std::fs::write(&file, "a\nb\nc\n").unwrap();
    let failed = run(&format!("batch trap {} --tag env=prod --wait", file.display()));
    assert_eq!(failed.status.code(), Some(3), "{}", stderr(&failed));
    let task = stdout(&run("invoke echo --data x --detach --tag env=prod --tag order=7"));
    stdout(&run(&format!("tasks {} --wait", task.trim())));
    let ids = |line: &str| -> Vec<String> {
        let listed = json_of(&run(&format!("tasks {line} -o json")));
        listed.as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("--tag env=prod").len(), 4);
    assert_eq!(ids("--tag order=7 --status completed --since 1h"), [task.trim()]);
    assert_eq!(ids("--function trap --code trap --order oldest --limit 2").len(), 2);
    let wide = stdout(&run("tasks --tag order=7 -o wide"));
    assert!(wide.contains("env=prod,order=7") && wide.lines().count() == 2, "{wide}");
    let counted = stdout(&run("tasks count --by function"));
    assert!(counted.lines().any(|line| line.split_whitespace().eq(["trap", "3"])), "{counted}");
    let retried = stdout(&run("tasks retry --function trap --wait"));
    assert!(retried.starts_with("done: 3 retried, 0 left"), "{retried}");
    let jobs = stdout(&run("tasks jobs"));
    assert!(jobs.contains("function=trap"), "{jobs}");
    let deleted = stdout(&run("tasks delete --tag order=7 --wait"));
    assert!(deleted.starts_with("done: 1 deleted"), "{deleted}");
    for (line, code) in [("tasks retry", 2), ("tasks --tag env", 2), ("tasks --since soon", 1), ("tasks jobs x", 1)] {
        assert_eq!(run(line).status.code(), Some(code), "{line}");
    }
    assert_eq!(run(&format!("tasks {} --status failed", task.trim())).status.code(), Some(2));
}
