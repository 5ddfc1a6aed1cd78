//! One word of a known few, declared once.

use super::Decoder;
use crate::suggest::{closest, quoted};
use crate::tree::Node;

/// The text is none of the words that are known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("take {} for one of {}", quoted(.found), .known.join(", "))]
pub struct UnknownChoice {
    /// The text.
    pub found: String,
    /// The words that are known.
    pub known: &'static [&'static str],
}

/// Finds the choice that a node names, or reports what can be chosen.
#[doc(hidden)]
pub fn decode_choice<T: Copy>(
    node: &Node,
    all: &[T],
    known: &'static [&'static str],
    cx: &mut Decoder,
) -> Option<T> {
    let Some(text) = node.as_text() else {
        return cx.wrong_type(node, &format!("one of {}", known.join(", ")));
    };
    match known.iter().position(|word| *word == text) {
        Some(index) => all.get(index).copied(),
        None => {
            let help = match closest(text, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`? possible are: {}", known.join(", ")),
                None => format!("possible are: {}", known.join(", ")),
            };
            cx.bad_value(node, format!("{} is not possible here", quoted(text)), help)
        }
    }
}

/// Declares an enum whose variants are words of a playbook: `Display`, `FromStr`, serde, `Decode` and the JSON Schema
/// all use the words given.
///
/// ```
/// switchback_model::choice! {
///     /// When a step runs.
///     pub enum Moment {
///         /// Before writers go out.
///         Before = "before",
///         /// After they came back.
///         AfterAll = "after-all",
///     }
/// }
/// assert_eq!("after-all".parse::<Moment>(), Ok(Moment::AfterAll));
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        $vis:vis enum $name:ident {
            $(
                $(#[doc = $variant_doc:literal])*
                $variant:ident = $text:literal
            ),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize)]
        $vis enum $name {
            $(
                $(#[doc = $variant_doc])*
                #[serde(rename = $text)]
                $variant,
            )+
        }

        #[allow(dead_code)]
        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            const WORDS: &'static [&'static str] = &[$($text),+];

            /// Returns the word that stands for it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::core::str::FromStr for $name {
            type Err = $crate::decode::UnknownChoice;

            fn from_str(text: &str) -> ::core::result::Result<Self, Self::Err> {
                match text {
                    $($text => ::core::result::Result::Ok(Self::$variant),)+
                    _ => ::core::result::Result::Err($crate::decode::UnknownChoice {
                        found: ::std::borrow::ToOwned::to_owned(text),
                        known: Self::WORDS,
                    }),
                }
            }
        }

        impl $crate::decode::Decode for $name {
            fn decode(node: &$crate::tree::Node, cx: &mut $crate::decode::Decoder) -> ::core::option::Option<Self> {
                $crate::decode::decode_choice(node, Self::ALL, Self::WORDS, cx)
            }

            fn schema(cx: &mut $crate::decode::Schemas) -> $crate::decode::__private::Json {
                cx.define(::core::concat!(::core::module_path!(), "::", ::core::stringify!($name)), |_| {
                    $crate::decode::choice_schema(&[$($doc),*], &[$(($text, &[$($variant_doc),*])),+])
                })
            }
        }
    };
}
