//! The reader of the policy's text, which is otherwise part of build.rs.

use crate::parse;

#[test]
fn what_is_wrong_in_the_data_is_told_with_its_line() {
    let table_fault = |text: &str| parse::table(text).err().map(|fault| (fault.line, fault.what)).unwrap();
    assert_eq!(table_fault("# head\nread 0 63 3 3 1.0\nwrite 1 64\n"), (3, "a line has six fields".into()));
    assert_eq!(
        table_fault("read 0 63 3 3 1.0\npipe 0 59 42 42 1.0\n").1,
        "pipe has the name or a number of read"
    );
    let policy_fault = |text: &str| parse::policy(text).err().map(|fault| (fault.line, fault.what)).unwrap();
    let whole = "otherwise ENOSYS\nforeign kill\ncompiled for\n";
    for (line, what) in [
        ("allow read", "a statement needs its reason"),
        ("allow read because so", "a reason has more than one word"),
        ("permit read because it reads", "permit is not a verdict"),
        ("allow because it reads", "no call is named"),
        ("EPERM bpf unless ROOT because it is", "ROOT is not a capability"),
        (
            "allow clone when int0 & 0x1 = 2 because it is wrong",
            "the value has bits outside the mask, so it is never equal",
        ),
        ("allow clone when int6 = 2 because of that", "arguments are 0 to 5"),
        ("allow clone when fd = 2 because of that", "fd is neither argN nor intN"),
        ("allow socket when int0 = AF_UNIX because of that", "AF_UNIX is not a known value"),
        ("otherwise kill", "said twice"),
    ] {
        assert_eq!(policy_fault(&format!("{whole}{line}\n")), (4, what.into()), "{line}");
    }
    assert_eq!(policy_fault("otherwise ENOSYS\n").1, "`foreign` is missing");
}
