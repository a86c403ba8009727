//! The example of each code: a program that gives it, what is then said, and the program repaired; or, for codes about
//! data and runs, commands. Each is a file of `pages/`, and a test compiles the programs and runs the commands: the page is
//! the test.

use super::Code;

/// The example on a code's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// A program that gives the code, or commands that do.
    pub fails: &'static str,
    /// What is said about it; a program is called `model.svi`.
    pub says: &'static str,
    /// The program, or the commands, as they should be.
    pub repaired: &'static str,
}

impl Example {
    /// Whether it shows commands, each after `$ `, instead of programs.
    pub fn is_command(&self) -> bool {
        self.fails.lines().any(|l| l.starts_with("$ "))
    }
}

macro_rules! pages {
    ($($code:ident)*) => {
        /// The page of a code.
        fn text(code: Code) -> &'static str {
            match code {
                $(Code::$code => include_str!(concat!("pages/", stringify!($code), ".txt")),)*
            }
        }
    };
}

pages! {
    E0101 E0102 E0103 E0104 E0105
    E0201 E0202 E0203 E0204 E0205 E0206 E0207 E0208 E0209 E0210
    E0301 E0302 E0303 E0304 E0305 E0306 E0307 E0308 E0309 E0310 E0311 E0312 E0313
    E0401 E0402 W0402 E0403 E0404 E0405 E0406 E0407 E0408 E0409 E0410 E0411 E0412 E0413
    E0501 E0502 E0503 E0504 E0505 E0506 E0507 E0508 E0509 E0510 E0511 E0512 W0513 E0514 E0515 W0516 E0517
    E0601 E0602 W0603 W0604 W0605 E0606 E0607 W0608 E0609
    W0701 E0702 E0703 W0704 E0705 W0705 E0706 W0706 E0707 E0708 E0709 E0710 W0711 E0712 E0713 E0714 E0715 E0716 W0717 W0718
}

impl Code {
    /// The example on the code's page.
    pub fn example(self) -> Option<Example> {
        let rest = text(self).strip_prefix("--- fails\n")?;
        let (fails, rest) = rest.split_once("--- says\n")?;
        let (says, repaired) = rest.split_once("--- repaired\n")?;
        Some(Example { fails, says, repaired })
    }

    /// The whole page, for `svic explain`: what the code means, and its example.
    pub fn explanation(self) -> String {
        let mut page = format!("{self}: {}\n\n{}\n", self.title(), self.page());
        if let Some(example) = self.example() {
            let what =
                if example.is_command() { "A command that gives it:" } else { "A program that gives it:" };
            let parts =
                [(what, example.fails), ("What is said:", example.says), ("Repaired:", example.repaired)];
            for (head, text) in parts {
                page.push_str(&format!("\n{head}\n\n"));
                for line in text.trim_end().lines() {
                    page.push_str(format!("    {line}").trim_end());
                    page.push('\n');
                }
            }
        }
        page
    }
}
