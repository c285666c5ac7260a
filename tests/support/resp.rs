//! Reads back what a client sent to a Redis, from the bytes a proxy recorded.

/// The commands in `bytes`: each is an array of bulk strings. Stops at the first thing that is not a whole
/// command, so bytes cut off in the middle yield the commands before the cut. Arguments that are not UTF-8 are
/// shown lossily.
pub fn commands(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut rest = bytes;
    let mut commands = Vec::new();
    while let Some((command, after)) = command(rest) {
        commands.push(command);
        rest = after;
    }
    commands
}

fn command(bytes: &[u8]) -> Option<(Vec<String>, &[u8])> {
    let (count, mut rest) = header(bytes, b'*')?;
    let mut arguments = Vec::new();
    for _ in 0..count {
        let (length, body) = header(rest, b'$')?;
        let argument = body.get(..length)?;
        rest = body.get(length..)?.strip_prefix(b"\r\n")?;
        arguments.push(String::from_utf8_lossy(argument).into_owned());
    }
    Some((arguments, rest))
}

/// `<marker><number>\r\n` and what follows.
fn header(bytes: &[u8], marker: u8) -> Option<(usize, &[u8])> {
    let rest = bytes.strip_prefix(&[marker])?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((number, &rest[end + 2..]))
}
