//! How full the queue is, in a few words.

use mesh_messaging::Depth;

/// None is a queue that does not answer.
pub(crate) fn in_short(depth: Option<Depth>) -> String {
    match depth {
        Some(Depth { ready, dead: 0 }) => format!("{ready} waiting"),
        Some(Depth { ready, dead }) => format!("{ready} waiting, {dead} dead letters"),
        None => "away".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_are_told_of_when_there_are_any() {
        let told = |ready, dead| in_short(Some(Depth { ready, dead }));
        assert_eq!(told(3, 0), "3 waiting");
        assert_eq!(told(0, 2), "0 waiting, 2 dead letters");
        assert_eq!(in_short(None), "away");
    }
}
