//! A map with known keys, declared once.

/// Declares a struct that is a map of a playbook: its fields are the keys, its doc comments the descriptions.
///
/// Generates the struct, its [`Decode`](crate::decode::Decode) with all problems at once, its JSON Schema, and serde
/// for its stored form. A field is required unless its type says otherwise (`Option`, `Vec`, …) or it has a default
/// after `=`. A raw identifier (`r#in`) is the key without `r#`. The calling crate needs `serde` with `derive`.
///
/// ```
/// switchback_model::record! {
///     /// A probe of a database.
///     pub struct SqlProbe {
///         /// The database.
///         pub r#in: String,
///         /// The query.
///         pub sql: String,
///         /// How many rows to show.
///         pub show: u64 = 10,
///         /// What to say when it fails.
///         pub r#else: Option<String>,
///     }
/// }
/// ```
#[macro_export]
macro_rules! record {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])*
                $field_vis:vis $field:ident : $ty:ty $(= $default:expr)?
            ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        $vis struct $name {
            $(
                $(#[doc = $field_doc])*
                $field_vis $field: $ty,
            )*
        }

        impl $crate::decode::Decode for $name {
            fn decode(node: &$crate::tree::Node, cx: &mut $crate::decode::Decoder) -> ::core::option::Option<Self> {
                #[allow(unused_mut)]
                let mut fields = $crate::decode::Fields::open(node, cx)?;
                // Every field is read before the first failure returns, so that all problems are said at once.
                $( let $field: ::core::option::Option<$ty> = $crate::record!(@take fields, cx, $field $(, $default)?); )*
                fields.finish(cx);
                ::core::option::Option::Some(Self { $( $field: $field?, )* })
            }

            fn schema(cx: &mut $crate::decode::Schemas) -> $crate::decode::__private::Json {
                cx.define(::core::concat!(::core::module_path!(), "::", ::core::stringify!($name)), |cx| {
                    #[allow(unused_mut, clippy::vec_init_then_push)]
                    let fields = ::std::vec![
                        $(
                            $crate::decode::FieldSchema {
                                name: ::core::stringify!($field),
                                required: $crate::record!(@required $ty $(, $default)?),
                                docs: &[$($field_doc),*],
                                schema: <$ty as $crate::decode::Decode>::schema(cx),
                            },
                        )*
                    ];
                    $crate::decode::FieldSchema::object(&[$($doc),*], fields)
                })
            }
        }
    };
    (@take $fields:ident, $cx:ident, $field:ident) => {
        $fields.take(::core::stringify!($field), $cx)
    };
    (@take $fields:ident, $cx:ident, $field:ident, $default:expr) => {
        $fields.take_or(::core::stringify!($field), || $default, $cx)
    };
    (@required $ty:ty) => {
        <$ty as $crate::decode::Decode>::absent().is_none()
    };
    (@required $ty:ty, $default:expr) => {
        false
    };
}
