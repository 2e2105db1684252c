//! What all views have around them.

use maud::{DOCTYPE, Markup, html};

use crate::app::App;

/// Where in the page one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Map,
    Traces,
    Try,
    Break,
    /// None of these.
    None,
}

const NAVIGATION: [(View, &str, &str); 4] = [
    (View::Map, "/", "Map"),
    (View::Traces, "/traces", "Traces"),
    (View::Try, "/try", "Try"),
    (View::Break, "/break", "Break"),
];

/// A square with three dots that are joined, as an icon of the page itself.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32' rx='8' fill='%232456d6'/%3E%3Cg stroke='%23fff' stroke-width='2' fill='%23fff'%3E%3Cpath d='M9 16 22 9M9 16 22 23'/%3E%3Ccircle cx='9' cy='16' r='3'/%3E%3Ccircle cx='22' cy='9' r='3'/%3E%3Ccircle cx='22' cy='23' r='3'/%3E%3C/g%3E%3C/svg%3E";

/// The whole document.
pub(crate) fn page<M>(app: &App<M>, view: View, title: &str, main: &Markup) -> String {
    let document = html! {
        (DOCTYPE)
        html lang="en" data-start=(app.events.start()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · mesh" }
                link rel="icon" href=(ICON);
                link rel="stylesheet" href="/style.css";
                script src="/script.js" defer {}
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                (header(view))
                main id="main" tabindex="-1" { (main) }
                footer {
                    span { "mesh " (app.options.version) }
                    span { "Served from this machine alone." }
                }
            }
        }
    };
    document.into_string()
}

fn header(view: View) -> Markup {
    html! {
        header {
            a class="brand" href="/" { "mesh" }
            nav aria-label="Views" {
                @for (target, href, name) in NAVIGATION {
                    @let current = (target == view).then_some("page");
                    a href=(href) aria-current=[current] { (name) }
                }
            }
            // The script says here whether what is seen moves.
            span id="link" { noscript { "Load again for the newest" } }
        }
    }
}
