//! The one table of diagnostic codes. The first two digits are the area: 01 syntax, 02 names, 03 axes, 04 types and
//! supports, 05 inference, 06 objective, 07 binding and running.

use super::Severity;
use std::fmt;

macro_rules! codes {
    ($($code:ident $severity:ident $title:literal : $page:literal;)*) => {
        /// A diagnostic code. Codes are never renumbered or reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $code,)*
        }

        impl Code {
            /// Every code, in order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$code),*];

            /// The code as it is written: `"E0101"`.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$code => stringify!($code),)* }
            }

            /// How bad it is by default.
            pub fn severity(self) -> Severity {
                match self { $(Code::$code => Severity::$severity,)* }
            }

            /// What is wrong, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Code::$code => $title,)* }
            }

            /// One paragraph that explains the code, for `svic explain`.
            pub fn page(self) -> &'static str {
                match self { $(Code::$code => $page,)* }
            }
        }
    };
}

impl Code {
    /// The code of a text such as `"E0507"`, in either case.
    pub fn find(text: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

codes! {
    E0101 Error "unexpected token":
        "The text does not continue in a way the grammar allows. The message lists, by role, at most five things that could stand there. Nesting deeper than the compiler's limit, a malformed number and an unfinished string are reported under this code too.";
    E0102 Error "unclosed block":
        "A block was opened with `{` and the file, or the next top-level item, came before its `}`. The message points at the opening brace, since the closing one may be missing anywhere after it.";
    E0103 Error "reserved word used as a name":
        "Words such as `data`, `model` or `weight` begin items and statements and cannot name a value. After a dot any word may stand, so a column called `data` is still `obs.data`.";
    E0104 Error "`=` and `~` confused":
        "`=` defines a value and `~` draws one from a distribution. A definition whose right side is a distribution draws nothing, and a number is not something to draw from.";
    E0105 Error "habit of another language":
        "A form of Python, R, Stan or Pyro was written, such as `:=`, `<-`, `;`, `target +=` or `pyro.sample`. The message shows how the same thing is said here.";
    E0201 Error "unknown name":
        "The name is not declared anywhere that this place can see. The three nearest declared names are listed. Order does not matter: a declaration may stand below its use.";
    E0202 Error "defined twice":
        "One name has two declarations in the same file. Remove one, or, to change an inherited declaration, put `override` before the new one.";
    E0203 Error "`observe` does not match":
        "Data are scored with `observe x ~ …` and latent values are drawn with `z ~ …`. The word is required for data and forbidden for latents, so that a misspelt data name is caught.";
    E0204 Error "inherited name redefined":
        "A name that comes from an extended file is declared again. If it is meant to replace the inherited one, write `override`; otherwise choose another name.";
    E0205 Error "`override` of nothing":
        "`override` replaces an inherited declaration, but nothing of this name is inherited. Check the spelling and the `extends` line.";
    E0206 Error "unknown setting":
        "The command line or the `train` block names an option, axis size, field or setting that the model does not have. The nearest ones are listed.";
    E0207 Error "needs not met":
        "A fragment says by `needs` what it expects from the file that includes it: sites, fields, nets or axes. The message lists those that are absent or have other axes.";
    E0208 Error "cyclic definitions":
        "Definitions refer to one another in a circle, so none can be computed first. The message shows the circle.";
    E0209 Error "layer outside a net":
        "Layers such as `linear` and `mlp` have parameters, and parameters come from `param` and `net` alone. Move the expression into a `net` and call it.";
    E0210 Error "model too large":
        "Nets and functions are written out where they are called. A net that calls another twice, which calls another twice, and so on, grows beyond any machine; the compiler stops at a limit far above any published model.";
    E0301 Error "undeclared axis":
        "An axis in brackets or after `over` is neither declared by `dim` nor owned by a `category` field.";
    E0302 Error "axis given twice":
        "One axis stands twice in the same brackets, or twice after `over`. A value has each axis at most once.";
    E0303 Error "axis missing from a value":
        "The place needs a value with a certain axis and the value does not have it. The message lists the axes that it has.";
    E0304 Error "reduction over an absent axis":
        "A reduction such as `sum(e over d)` names an axis that its operand does not have.";
    E0305 Error "`over` needed":
        "A reduction may leave out `over` only when its operand has exactly one axis beside the plates. Here it has several, so say which one is meant.";
    E0306 Error "unexpected axis":
        "The value of a site carries an axis that the site does not have, so that each element would depend on every other. Sum, index or declare the axis. This guards against accidental outer products.";
    E0307 Error "index without its axis":
        "A value is indexed by rows of an axis that it does not have. Indexing `t[i]` selects along the axis that `i` points into.";
    E0308 Error "sizes of one axis disagree":
        "Two sources give one unlabelled axis different sizes. Both sources and both counts are shown.";
    E0309 Error "plate axis in brackets":
        "Inside a plate a name means one element, so the plate's own axis is never written in brackets.";
    E0310 Error "plate opened twice":
        "A plate is opened inside a plate of the same axis. Elements are already one at a time there.";
    E0311 Error "field outside its plate":
        "A data field is used where the plate of its axis is not open, so there is no single element to mean. Open the plate, or reduce over the axis.";
    E0312 Error "plates of guide and model differ":
        "A latent stands in one set of plates in the model and in another in the guide. They must be the same.";
    E0313 Error "reduction over the enclosing plate":
        "Inside a plate only one element is visible, so nothing can be summed over it. Use `stat` for a statistic over all elements, or the objective block.";
    E0401 Error "argument outside its support":
        "An argument must lie in a certain set, such as the positive numbers, and the expression may leave it. Wrap it in a map onto the set: `exp` or `softplus` for positive, `sigmoid` for the unit interval, `softmax` for a simplex.";
    E0402 Error "value outside the family's support":
        "An observed field has values that the family can never produce, such as real numbers scored by a negative binomial. Choose another family or another field.";
    W0402 Warning "counts given to a continuous family":
        "Counts are scored by a continuous density. This is legitimate after a transformation, but raw counts usually want a count family.";
    E0403 Error "incomplete or mixed parameters":
        "Each family has a few complete sets of parameter names, such as `mean, scale` or `mean, var`. One of them must be given whole, and names of two sets cannot be mixed.";
    E0404 Error "positional argument":
        "Arguments of distributions are written by name. The positional form is allowed only where all arguments are literals, as in `Normal(0, 1)`.";
    E0405 Error "unknown argument":
        "The function, layer or family has no argument of this name. The nearest ones are listed.";
    E0406 Error "missing value used bare":
        "A value of type `T?` may be missing and is used where a present one is needed. Use `fill(y, v)`, restrict with `where observed(y)`, or observe it.";
    E0407 Error "optional field used unguarded":
        "A field that may be absent from the data is used outside `when present(field)`.";
    E0408 Error "override changes the type":
        "A replacement must have the same axes and support as what it replaces, because other parts of the model rely on them.";
    E0409 Error "simplex axis ambiguous":
        "A simplex sums to one along one axis, and the type has several. Say which: `simplex over d`.";
    E0410 Error "no number where one is needed":
        "Labels have no arithmetic: index a parameter by the category, or pass it to a net after the bar. What shapes the computation, such as the length of a ramp, is a number known before any data are read.";
    E0411 Error "boolean needed":
        "A condition must be true or false. Compare the value with something.";
    E0412 Error "probabilities and logits confused":
        "Probabilities were passed as logits, or the reverse. Both run, and the result is silently wrong.";
    E0413 Error "`init` outside the support":
        "The initial value does not lie in the declared support of the parameter.";
    E0501 Error "latent without guide":
        "Every latent of the model needs a treatment in the guide: a distribution, `point`, `marginal`, `prior` or `auto`.";
    E0502 Error "guide site not in the model":
        "The guide treats a name that is not a latent of the model. Check the spelling.";
    E0503 Error "supports of guide and model differ":
        "The guide draws values from another set than the prior allows, so the divergence between them is infinite or undefined.";
    E0504 Error "no reparameterised gradient":
        "Draws from this family cannot be differentiated. Enumerate the site, or choose `relaxed` or `score`.";
    E0505 Error "guide reads what it cannot":
        "The guide uses a latent that is summed out, or one drawn later, which would make a circle.";
    E0506 Error "enumeration too large":
        "Exact sums multiply: the message gives the number of combinations and the sites that carry it.";
    E0507 Error "enumeration couples elements":
        "A summed-out site has an axis, and an expression mixes elements along it before they reach a factor, so the sum does not split by element. The message shows where the axes mix.";
    E0508 Error "factors of different scale":
        "Terms that would be summed together are scaled differently by minibatching, so the sum has no meaning.";
    E0509 Error "`marginal` needs a finite discrete site":
        "Only finitely many values can be summed exactly. Draw this site, or treat it as `point`.";
    E0510 Error "observed site in the guide":
        "A site that is fully observed has nothing to infer, so the guide must not draw it.";
    E0511 Error "no closed form here":
        "An analytic divergence was asked for where a parent of the prior is drawn after the site in the guide, so the closed form would be biased, or where none is registered.";
    E0512 Error "two treatments":
        "A latent is treated twice in the guide. Keep one, or put `override` before the one that replaces an inherited treatment.";
    W0513 Warning "`prior` guide on an explanatory site":
        "A site drawn from its prior learns nothing from the data, although observed values depend on it.";
    E0514 Error "parameter only under `stop`":
        "A learned parameter is used only where gradients are stopped, so it would never change. Make it `frozen`, or use it elsewhere.";
    E0515 Error "partly observed site without guide":
        "Some values of the site are missing, and the guide does not say how to infer them.";
    W0516 Warning "guide does not read the data":
        "The latent stands in a plate of data, but its guide depends on none, so every element gets the same distribution.";
    E0517 Note "likelihood conditions on its own data":
        "The distribution of a field depends on the field itself. Observed library sizes do this knowingly; anything else deserves a second look.";
    E0601 Error "no such term":
        "A `weight` or `estimate` names a term that the objective does not have. The terms that exist are listed.";
    E0602 Error "plate not reduced":
        "A free term of the objective must be one number. Reduce the remaining axes by `sum` or `mean`.";
    W0603 Warning "parameter without gradient":
        "No term of the objective depends on the parameter, so it stays at its initial value.";
    W0604 Warning "unused definition":
        "Nothing uses the definition.";
    W0605 Warning "option without effect":
        "No value of the option changes the program.";
    E0606 Error "no objective":
        "There is no likelihood, no latent and no free term, so there is nothing to optimise.";
    E0607 Error "adversary's net in the main objective":
        "The net of an adversary has an optimiser of its own and must not be part of the main objective as well.";
    W0608 Warning "statistic of the minibatch":
        "The value depends on which elements share a minibatch, so results depend on the batch size.";
    E0609 Error "weight is always zero":
        "A term has constant weight zero. Remove it, or use `ignore`.";
    W0701 Warning "ramp ends after the run":
        "A schedule is still rising when training stops. The message gives the final weight.";
    E0702 Error "field absent":
        "The data have no such column. Candidates of the same shape are listed; `--bind` chooses one.";
    E0703 Error "not counts":
        "The field must hold non-negative integers and does not. Layers that do are listed.";
    W0704 Warning "empty cells":
        "Some cells have a total of zero. They carry no information and can make library sizes degenerate.";
    E0705 Error "category too small":
        "A category has one member or none, so nothing can be learned about it. Merge or drop it by the stated policy.";
    W0705 Warning "small category":
        "A category has fewer than three members, so little can be learned about it. Merging it with another, or leaving its cells out, is usually better.";
    E0706 Error "labels of a query differ":
        "The features of the new data differ from those of training. The message counts those kept, missing and extra.";
    W0706 Warning "labels of a query differ in part":
        "Some features of training are missing from the new data and count as zero; extra ones are left out. Or two fields label one axis differently, and what both have is kept.";
    E0707 Error "unseen category":
        "The data hold a label that was not seen in training. Give the policy, or the label to use in its place.";
    E0708 Error "checkpoint of another source":
        "The saved model was made from a different program. The declarations that changed are listed.";
    E0709 Error "not enough memory":
        "What is fed, the parameters with their gradients and moments, and the largest value are together more than the memory that is free. A batch size that fits is suggested, if there is one.";
    E0710 Error "value is not finite":
        "A computation gave infinity or not-a-number. The message names the first operation, its source, the site, the cell and the ranges of the inputs.";
    W0711 Warning "class without data":
        "A categorical column declares labels that no cell carries, as is usual after cells were left out. They are no labels of the model.";
    E0712 Error "unreadable file":
        "The file does not exist, is not of the format it should have, or is cut short.";
    E0713 Error "damaged or unusable field":
        "A part of the data file is inconsistent, out of range, of the wrong kind, or in a form that is not supported.";
    E0714 Error "output not writable":
        "The result cannot be written where it was asked for. Nothing was left there: files are written aside and renamed when they are complete.";
    E0715 Error "unusable saved model":
        "The `.svim` file is damaged, incomplete, or written by a version that this one cannot read.";
    E0716 Error "unusable request":
        "A value given on the command line, or to a function of the library, does not fit: it is not of the form KEY=VALUE, or not a number where one is needed, or out of range.";
    W0717 Warning "counts may be rounded":
        "Values are kept in single precision, which holds every integer up to 16777216 only.";
    W0718 Warning "not measured in a group":
        "Columns that are zero in all cells of a group are taken as not measured there, as the program says. They are not scored, and what the model says of them is a prediction.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_have_pages() {
        let numbers: Vec<&str> = Code::ALL.iter().map(|code| &code.as_str()[1..]).collect();
        assert!(numbers.is_sorted());
        for code in Code::ALL {
            assert_eq!(Code::find(code.as_str()), Some(*code));
            assert!(code.page().ends_with('.'), "{code} ends its page with a full stop");
            assert!(!code.title().is_empty());
        }
        assert_eq!(Code::W0402.severity(), Severity::Warning);
        assert_eq!(Code::find("e0507"), Some(Code::E0507));
        assert_eq!(Code::find("E9999"), None);
    }
}
