//! Wrong attributes are compile errors that point at the attribute and say what is allowed.

#[test]
fn wrong_attributes_and_wrong_connections_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
