//! Licence expressions, as far as manifests of crates use them: names, `AND`, `OR` or `/`, `WITH`, parentheses.

/// Whether an expression can be satisfied with licences for which `allowed` holds. Unknown grammar is never satisfied.
pub(super) fn satisfied(expression: &str, allowed: impl Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed: &allowed };
    parser.either() == Some(true) && parser.words.is_empty()
}

struct Parser<'a, F> {
    words: &'a [&'a str],
    allowed: &'a F,
}

impl<F: Fn(&str) -> bool> Parser<'_, F> {
    /// `OR` binds weakest.
    fn either(&mut self) -> Option<bool> {
        let mut result = self.both()?;
        while self.take("OR") {
            result |= self.both()?;
        }
        Some(result)
    }

    fn both(&mut self) -> Option<bool> {
        let mut result = self.one()?;
        while self.take("AND") {
            result &= self.one()?;
        }
        Some(result)
    }

    fn one(&mut self) -> Option<bool> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        match *first {
            "(" => {
                let inner = self.either()?;
                self.take(")").then_some(inner)
            }
            ")" | "AND" | "OR" | "WITH" => None,
            name if self.take("WITH") => {
                let (exception, rest) = self.words.split_first()?;
                self.words = rest;
                Some((self.allowed)(&format!("{name} WITH {exception}")))
            }
            name => Some((self.allowed)(name)),
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let matches = self.words.first() == Some(&word);
        if matches {
            self.words = &self.words[1..];
        }
        matches
    }
}

#[cfg(test)]
mod tests {
    use super::satisfied;

    fn check(expression: &str) -> bool {
        satisfied(expression, |name| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&name))
    }

    #[test]
    fn one_allowed_branch_is_enough_and_every_part_of_an_and_is_needed() {
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "Apache-2.0/MIT",
            "MIT AND ISC",
            "(GPL-3.0 OR MIT) AND ISC",
            "X OR Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "Apache-2.0",
            "MIT OR",
            "(MIT",
            "MIT ISC",
            "",
            "AND MIT",
            "MIT AND (GPL-3.0 OR LGPL-3.0)",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }
}
