//! The map in words, for whoever does not see the picture.

use crate::{
    figure,
    mesh::Queue,
    picture::{Picture, Process, Told},
};

/// A sentence for each process, for each call that is being made, and for the queue.
pub(crate) fn describe<'a>(
    picture: &Picture,
    processes: impl IntoIterator<Item = &'a str>,
) -> String {
    let mut sentences: Vec<String> = processes
        .into_iter()
        .map(|name| process(name, picture.process(name)))
        .collect();
    sentences.extend(picture.processes.iter().flat_map(calls));
    sentences.push(queue(picture));
    sentences.join(" ")
}

fn process(name: &str, process: Option<&Process>) -> String {
    let Some(process) = process else {
        return format!("{name}: not running.");
    };
    let readiness = figure::cut(&process.readiness(), 60);
    let Some(figures) = &process.figures else {
        return format!("{name}: {readiness}.");
    };
    let work = process.work().unwrap_or_default();
    let Told {
        rate, p95, errors, ..
    } = Told::new(work, figures.p95, figures.errors);
    let in_flight = figure::count(figures.in_flight);
    format!("{name}: {readiness}, {rate}, p95 {p95}, {errors} errors, {in_flight} in flight.")
}

fn calls(process: &Process) -> impl Iterator<Item = String> {
    let calls = process.figures.iter().flat_map(|figures| &figures.calls);
    calls.filter_map(|call| {
        let told = Told::of_call(Some(call)).filter(|told| told.is_busy || told.has_errors)?;
        let Told {
            rate, p95, errors, ..
        } = told;
        let (from, to) = (&process.name, &call.peer);
        Some(format!(
            "{from} calls {to}: {rate}, p95 {p95}, {errors} errors."
        ))
    })
}

fn queue(picture: &Picture) -> String {
    let Some(Queue { ready, dead }) = picture.queue else {
        return "The queue does not answer.".to_owned();
    };
    let rate = |rate: Option<f64>| rate.map_or_else(|| figure::UNKNOWN.to_owned(), figure::rate);
    format!(
        "queue: {} waiting, {} dead letters, {} in, {} out.",
        figure::count(ready),
        figure::count(dead),
        rate(picture.published()),
        rate(picture.consumed()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_words_say_what_the_picture_shows() {
        let mesh = testing::mesh();
        let told = describe(&Picture::of(&mesh), ["gateway", "fulfillment"]);
        for sentence in [
            "gateway: ready, 24.5/s, p95 18.4 ms, 0/s errors, 3 in flight. ",
            "fulfillment: ready, 7.25/s, p95 18.4 ms, 0/s errors, 3 in flight. ",
            "orders calls payments: 13.2/s, p95 4.21 ms, 0/s errors. ",
            "queue: 5 waiting, 0 dead letters, 7.50/s in, 7.25/s out.",
        ] {
            assert!(told.contains(sentence), "{sentence} in {told}");
        }
        mesh.replicas.lock().unwrap().clear();
        mesh.figures.lock().unwrap().clear();
        *mesh.queue.lock().unwrap() = None;
        let told = describe(&Picture::of(&mesh), ["gateway"]);
        assert_eq!(told, "gateway: not running. The queue does not answer.");
    }
}
