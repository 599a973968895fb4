//! Who the process is: accounts, and how ids inside map to ids outside.

/// A user or a group as it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Account<'a> {
    /// A number. Never looked up as a name: an image whose passwd file calls uid 0 "1000" gains nothing.
    Id(u32),
    /// A name, to be looked up in the container's own `/etc/passwd` or `/etc/group`.
    Name(&'a [u8]),
}

impl<'a> Account<'a> {
    /// Reads `text` as one part of `USER[:GROUP]`: all digits is a number up to 4294967294 (the last value means
    /// "no change" to the kernel), anything else a name. `None` when it is empty, a number out of range or a name
    /// with a character that no passwd file can hold.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        if !text.is_empty() && text.iter().all(u8::is_ascii_digit) {
            let number = text.iter().try_fold(0_u32, |sum, digit| {
                sum.checked_mul(10)?.checked_add(u32::from(digit.wrapping_sub(b'0')))
            })?;
            return (number != u32::MAX).then_some(Self::Id(number));
        }
        let named = |byte: &u8| !byte.is_ascii_control() && !b":/ ,".contains(byte);
        let starts = text.first().is_some_and(|first| !b"-+".contains(first) && !first.is_ascii_digit());
        (starts && text.iter().all(named)).then_some(Self::Name(text))
    }
}

/// The user, group and further groups of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct User<'a> {
    /// The user.
    pub user: Account<'a>,
    /// The primary group; the user's own from passwd, else 0, when not given.
    pub group: Option<Account<'a>>,
    /// Supplementary groups beside those that `/etc/group` gives the user.
    pub additional: &'a [Account<'a>],
    /// Whether `additional` is all of them: `/etc/group` is not asked which ones the user has.
    pub exact: bool,
}

impl<'a> User<'a> {
    /// uid 0 and the groups the image gives it.
    pub const ROOT: User<'static> = User { user: Account::Id(0), group: None, additional: &[], exact: false };

    /// Reads docker's `USER[:GROUP]`; `None` for what [`Account::parse`] refuses, an empty part or a second colon.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut parts = text.split(|byte| *byte == b':');
        let user = Account::parse(parts.next()?)?;
        let group = match parts.next() {
            Some(part) => Some(Account::parse(part)?),
            None => None,
        };
        parts.next().is_none().then_some(Self { user, group, additional: &[], exact: false })
    }
}

/// One line of a user namespace's map (user_namespaces(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdMap {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ids_and_nothing_else() {
        let ids = |user, group: Option<u32>| {
            Some(User {
                user: Account::Id(user),
                group: group.map(Account::Id),
                additional: &[],
                exact: false,
            })
        };
        assert_eq!(User::parse(b"1"), ids(1, None));
        assert_eq!(User::parse(b"01"), ids(1, None));
        assert_eq!(User::parse(b"1:2"), ids(1, Some(2)));
        assert_eq!(User::parse(b"4294967294"), ids(4_294_967_294, None));
        for bad in ["", "1:", ":1", "1:2:3", "4294967295", "4294967296", "-1", "+1", "1x", "a b", "a/b", ":"]
        {
            assert_eq!(User::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn names_stay_names() {
        let user = User::parse(b"nobody:wheel").unwrap();
        assert_eq!(user.user, Account::Name(b"nobody"));
        assert_eq!(user.group, Some(Account::Name(b"wheel")));
        assert_eq!(User::parse(b"www-data").unwrap().user, Account::Name(b"www-data"));
    }
}
