//! Who is signed in: sessions that the store holds for all processes.
//!
//! A session is an entry under the hash of its id, made under three stamps, as entries of the cache
//! are. It is valid while all three stand:
//!
//! | tag | lives | taken away by |
//! |---|---|---|
//! | of the id | as long as the session may be idle; a touch makes it longer | its end, and a rotation |
//! | of the login | as long as a session may last, and no longer | its end |
//! | of the user | as long as the last login may last | logging out everywhere |
//!
//! A stamp that is gone never comes back, and nothing but a login or a rotation makes one. So a touch
//! that is late, or a change of the data, brings nothing back: it writes under a stamp that does not
//! stand.

use std::{
    collections::BTreeSet,
    fmt,
    marker::PhantomData,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use moka::sync::Cache as Remembered;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::session_id::{Digest, SessionId, hex};
use crate::{
    Cache, CacheError,
    cache::{comes_back, encode_own},
    entity::{RowReader, RowWriter},
    store::{EntryKey, EntryWrite, Release, Stamp, Store, StoreError, TagKey, TagProbe, TagState},
};

/// Two that rotate one session at a time: one of them does.
const ROTATION: Duration = Duration::from_secs(10);
/// Sessions of which a process remembers whose they are, which spares a round trip.
const REMEMBERED: u64 = 10_000;

/// What somebody who is signed in may do, and what is remembered of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session<T> {
    /// Who it is, as they were signed in.
    pub user: String,
    /// What they may do.
    pub permissions: BTreeSet<String>,
    /// What the application remembers of them.
    pub data: T,
    /// When they signed in, by the clock of the process that did it.
    pub began: SystemTime,
}

impl<T> Session<T> {
    /// Do they have this permission?
    #[must_use]
    pub fn may(&self, permission: &str) -> bool {
        self.permissions.contains(permission)
    }
}

/// Sessions of one kind, such as those of a web site: with data of type `T`, an idle time, and an
/// absolute end.
///
/// The store is the truth here, for there is no database behind it. A session that it evicts or loses
/// is over: its user has to sign in again. So give sessions a Redis that evicts nothing
/// (`maxmemory-policy noeviction`), or a `Cache` of their own. What a Redis that goes back to older data
/// (a snapshot, a replica that was behind) brings back is sessions that have been ended since; with
/// [`end_with_the_store`](Self::end_with_the_store) all are over then. Without a Redis they live and end
/// with the process.
///
/// An id is made here, never taken: whatever a client sends is looked up, and what is not there is
/// nobody. Neither `clear()` nor purges of the cache end a session, and it goes on when the cache is
/// switched off. All of it by the store's clock: those of the processes do not matter.
///
/// Redis 7 or Valkey, for `PEXPIRE ... GT`: with an older one a touch does nothing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sea_orm_cache::{Cache, Sessions};
///
/// let cache = Cache::builder().namespace("docs").build().await?;
/// let sessions = Sessions::<Vec<u32>>::new(&cache, "web");
/// let id = sessions.create("ann", &vec![]).await?; // into a cookie
/// sessions.set(id.as_str(), &vec![7]).await?;
/// let session = sessions.get(id.as_str()).await?.ok_or("not signed in")?;
/// assert_eq!((session.user.as_str(), session.data), ("ann", vec![7]));
///
/// // She may do more now: under another id, which nobody can have given her before.
/// let id = sessions.set_permissions(id.as_str(), ["orders"]).await?.ok_or("not signed in")?;
/// sessions.log_out_everywhere("ann").await?;
/// assert!(sessions.get(id.as_str()).await?.is_none());
/// # Ok(()) }
/// ```
pub struct Sessions<T> {
    cache: Cache,
    name: String,
    idle: Duration,
    longest: Duration,
    ends_with_store: bool,
    /// What does not change for an id.
    known: Remembered<Digest, Named>,
    data: PhantomData<fn() -> T>,
}

/// A session's tags beside that of its id.
#[derive(Clone)]
struct Named {
    login: TagKey,
    user: TagKey,
}

/// What is stored before the data.
#[derive(Clone, Serialize, Deserialize)]
struct Head {
    user: String,
    permissions: BTreeSet<String>,
    login: String,
    /// Of the id, the login and the user.
    stamps: [u64; 3],
    /// Seconds since 1970.
    began: u64,
    incarnation: u64,
}

/// A valid session, as far as has been looked.
struct Standing {
    digest: Digest,
    head: Head,
    data: Vec<u8>,
}

impl<T> Sessions<T> {
    /// Sessions of this name in the cache's namespace: over after half an hour without a touch, and
    /// after twelve hours in any case.
    pub fn new(cache: &Cache, name: impl Into<String>) -> Self {
        Self {
            cache: cache.clone(),
            name: name.into(),
            idle: Duration::from_secs(30 * 60),
            longest: Duration::from_secs(12 * 3600),
            ends_with_store: false,
            known: Remembered::new(REMEMBERED),
            data: PhantomData,
        }
    }

    /// How long a session lasts without being touched.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// How long a session lasts at most, from signing in, however often it is touched or rotated.
    #[must_use]
    pub fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// A session ends when the store begins another life, by a restart or a failover: then the store may
    /// have gone back to older data, with sessions in it that have been ended since.
    #[must_use]
    pub fn end_with_the_store(mut self) -> Self {
        self.ends_with_store = true;
        self
    }

    fn store(&self) -> &dyn Store {
        let store = &**self.cache.inner.freshness.store();
        // Memory that answers for a store that is away knows nobody, which is not the same as an error.
        store.stands_in_for().unwrap_or(store)
    }

    fn entry(&self, digest: &Digest) -> EntryKey {
        self.cache.inner.keys.session(&self.name, &digest.text())
    }

    fn tag(&self, kind: &str, of: &str) -> TagKey {
        self.cache.inner.keys.session_tag(&self.name, kind, of)
    }

    fn tags(&self, digest: &Digest, head: &Head) -> [TagKey; 3] {
        [self.tag("i", &digest.text()), self.tag("l", &head.login), self.tag("u", &head.user)]
    }

    /// The session of an id, if there is one and its stamps stand.
    async fn look(&self, id: &str) -> Result<Option<Standing>, CacheError> {
        let Some(digest) = Digest::of(&self.name, id) else { return Ok(None) };
        let known = self.known.get(&digest);
        let own = self.tag("i", &digest.text());
        let guessed = known.iter().flat_map(|named| [named.login.clone(), named.user.clone()]);
        let probes: Vec<_> = std::iter::once(own).chain(guessed).map(only_look).collect();
        let found = self.store().read(&[self.entry(&digest)], &probes).await?;
        let [Some(bytes)] = &found.entries[..] else {
            self.known.invalidate(&digest);
            return Ok(None);
        };
        let Some((head, data)) = decode(bytes) else { return Ok(None) };
        let mut states = found.tags;
        if known.is_none() {
            let [_, login, user] = self.tags(&digest, &head);
            let named = Named { login, user };
            let probes = [only_look(named.login.clone()), only_look(named.user.clone())];
            states.extend(self.store().read(&[], &probes).await?.tags);
            self.known.insert(digest, named);
        }
        let stands = states.len() == head.stamps.len()
            && states.iter().zip(head.stamps).all(|(state, stamp)| is(*state, stamp));
        let same_life = !self.ends_with_store || head.incarnation == found.incarnation;
        Ok((stands && same_life).then_some(Standing { digest, head, data }))
    }

    /// Is this the id of a session? Two round trips the first time that this process sees it, then one.
    ///
    /// # Errors
    /// The store did not answer: nobody knows.
    pub async fn is_valid(&self, id: &str) -> Result<bool, CacheError> {
        Ok(self.look(id).await?.is_some())
    }

    /// Somebody is still there: from now on the idle time begins anew. False if there is no such
    /// session; then nothing happens, and a session that is ended meanwhile stays ended. One round trip
    /// more than [`is_valid`](Self::is_valid). Once a minute will do.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn touch(&self, id: &str) -> Result<bool, CacheError> {
        let Some(standing) = self.look(id).await? else { return Ok(false) };
        let own = self.tag("i", &standing.digest.text());
        self.store().write(&[], &[(own, self.idle)]).await?;
        Ok(true)
    }

    /// The session is over: logging out. True if there was one. One round trip more than
    /// [`is_valid`](Self::is_valid).
    ///
    /// # Errors
    /// The store did not answer, and it may not be over: try again. In any case take the cookie away.
    pub async fn destroy(&self, id: &str) -> Result<bool, CacheError> {
        let Some(standing) = self.look(id).await? else { return Ok(false) };
        // The login too: whoever rotates this session at this moment gets none.
        let [own, login, _] = self.tags(&standing.digest, &standing.head);
        let entry = self.entry(&standing.digest);
        self.store().release(&Release::purging(&[own, login], &[entry])).await?;
        self.known.invalidate(&standing.digest);
        Ok(true)
    }

    /// All sessions of this user are over, however many; signing in again makes new ones. One round
    /// trip.
    ///
    /// # Errors
    /// The store did not answer, and they may not be over: try again.
    pub async fn log_out_everywhere(&self, user: &str) -> Result<(), CacheError> {
        self.store().release(&Release::purging(&[self.tag("u", user)], &[])).await?;
        Ok(())
    }

    /// The same session under another id; the old one is over. `None` if there is no such session, or
    /// somebody else is rotating it. What is stored under the old id meanwhile is lost, and its absolute
    /// end stays. Four round trips more than [`is_valid`](Self::is_valid).
    ///
    /// Do it when somebody proves more of who they are; [`set_permissions`](Self::set_permissions) does
    /// it by itself.
    ///
    /// # Errors
    /// The store did not answer. The old id may still be valid; no other one is known to anybody.
    pub async fn rotate(&self, id: &str) -> Result<Option<SessionId>, CacheError> {
        self.replace(id, None).await
    }

    /// What the user may do from now on, in this session: under another id, so that who knew the old one
    /// (session fixation) gains nothing. Otherwise as [`rotate`](Self::rotate).
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate): if so, the old permissions may still hold.
    pub async fn set_permissions<P: Into<String>>(
        &self,
        id: &str,
        permissions: impl IntoIterator<Item = P>,
    ) -> Result<Option<SessionId>, CacheError> {
        let permissions = permissions.into_iter().map(Into::into).collect();
        self.replace(id, Some(permissions)).await
    }

    async fn replace(
        &self,
        id: &str,
        permissions: Option<BTreeSet<String>>,
    ) -> Result<Option<SessionId>, CacheError> {
        let Some(Standing { digest: old, mut head, data }) = self.look(id).await? else { return Ok(None) };
        let lease = self.cache.inner.keys.session(&self.name, &format!("{}~", old.text()));
        if !self.store().lease(&lease, ROTATION).await? {
            return Ok(None);
        }
        let (new, digest) = self.fresh()?;
        let own = self.tag("i", &digest.text());
        let probe = TagProbe { key: own.clone(), propose: Some((Stamp::fresh(), self.idle)) };
        let found = self.store().read(&[], &[probe]).await?;
        // The stamps of the login and the user stay what they were when they were seen to stand: if they
        // have been taken away since, the new id is as good as none.
        head.stamps[0] = stamp_of(found.tags.first())?;
        head.incarnation = found.incarnation;
        head.permissions = permissions.unwrap_or(head.permissions);
        self.write(&digest, &head, &data, &[(own, self.idle)]).await?;
        let gone = [self.tag("i", &old.text())];
        self.store().release(&Release::purging(&gone, &[self.entry(&old)])).await?;
        self.known.invalidate(&old);
        Ok(Some(new))
    }

    fn fresh(&self) -> Result<(SessionId, Digest), CacheError> {
        let id = SessionId::fresh()?;
        let digest = Digest::of(&self.name, id.as_str());
        let digest = digest.ok_or_else(|| CacheError::NoRandomness("an id that is none".to_owned()))?;
        Ok((id, digest))
    }

    async fn write(
        &self,
        digest: &Digest,
        head: &Head,
        data: &[u8],
        keep: &[(TagKey, Duration)],
    ) -> Result<(), CacheError> {
        let mut writer = RowWriter::default();
        writer.plain(head).map_err(|error| self.unwritable(error.to_string()))?;
        let mut bytes = writer.finish();
        bytes.extend_from_slice(data);
        let limit = self.cache.config().max_entry_bytes;
        if bytes.len() > limit {
            let reason = format!("{} bytes, more than max_entry_bytes = {limit}", bytes.len());
            return Err(self.unwritable(reason));
        }
        // Longer than it need be: what makes it end is that its stamps do.
        let entry = EntryWrite { key: self.entry(digest), bytes: bytes.into(), ttl: self.longest };
        Ok(self.store().write(&[entry], keep).await?)
    }

    fn unwritable(&self, reason: String) -> CacheError {
        // Not the id: errors are logged.
        CacheError::Unwritable { key: format!("a session of {}", self.name), reason }
    }
}

impl<T: Serialize + DeserializeOwned> Sessions<T> {
    /// Signs somebody in, without permissions. Two round trips.
    ///
    /// # Errors
    /// The data cannot be stored, the store did not answer, or there is no chance to be had from the
    /// operating system.
    pub async fn create(&self, user: &str, data: &T) -> Result<SessionId, CacheError> {
        self.create_with(user, [""; 0], data).await
    }

    /// Signs somebody in, with permissions. Two round trips.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn create_with<P: Into<String>>(
        &self,
        user: &str,
        permissions: impl IntoIterator<Item = P>,
        data: &T,
    ) -> Result<SessionId, CacheError> {
        let data = self.encode(data)?;
        let (id, digest) = self.fresh()?;
        let mut login = [0; 16];
        getrandom::fill(&mut login).map_err(|error| CacheError::NoRandomness(error.to_string()))?;
        let mut head = Head {
            user: user.to_owned(),
            permissions: permissions.into_iter().map(Into::into).collect(),
            login: hex(&login),
            stamps: [0; 3],
            began: UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()),
            incarnation: 0,
        };
        let tags = self.tags(&digest, &head);
        let lives = [self.idle.min(self.longest), self.longest, self.longest];
        let probes = tags.clone().into_iter().zip(lives);
        let probes: Vec<_> =
            probes.map(|(key, life)| TagProbe { key, propose: Some((Stamp::fresh(), life)) }).collect();
        let found = self.store().read(&[], &probes).await?;
        for (stamp, state) in head.stamps.iter_mut().zip(0..) {
            *stamp = stamp_of(found.tags.get(state))?;
        }
        head.incarnation = found.incarnation;
        // The user's stands for as long as the last of their sessions may; that of the login is never
        // made longer.
        let [_, _, of_user] = tags;
        self.write(&digest, &head, &data, &[(of_user, self.longest)]).await?;
        Ok(id)
    }

    /// The session of this id; `None` for everything else. Two round trips the first time that this
    /// process sees it, then one. It does not [`touch`](Self::touch).
    ///
    /// # Errors
    /// The store did not answer: nobody knows. That is not the same as not being signed in.
    pub async fn get(&self, id: &str) -> Result<Option<Session<T>>, CacheError> {
        let Some(Standing { head, data, .. }) = self.look(id).await? else { return Ok(None) };
        let mut reader = RowReader::new(&data);
        let Some(data) = reader.custom().ok().filter(|_| reader.finish().is_ok()) else {
            tracing::warn!(sessions = self.name, "a session holds data of another type: it is none");
            return Ok(None);
        };
        let Head { user, permissions, began, .. } = head;
        Ok(Some(Session { user, permissions, data, began: UNIX_EPOCH + Duration::from_secs(began) }))
    }

    /// Replaces the data, and touches. False if there is no such session. Of two who do it at a time the
    /// last one counts. One round trip more than [`is_valid`](Self::is_valid).
    ///
    /// # Errors
    /// The data cannot be stored, or the store did not answer.
    pub async fn set(&self, id: &str, data: &T) -> Result<bool, CacheError> {
        let data = self.encode(data)?;
        let Some(Standing { digest, head, .. }) = self.look(id).await? else { return Ok(false) };
        let own = self.tag("i", &digest.text());
        self.write(&digest, &head, &data, &[(own, self.idle)]).await?;
        Ok(true)
    }

    fn encode(&self, data: &T) -> Result<Vec<u8>, CacheError> {
        let bytes = encode_own(data).and_then(|bytes| comes_back(data, bytes));
        bytes.map_err(|error| self.unwritable(error.to_string()))
    }
}

impl<T> Clone for Sessions<T> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            name: self.name.clone(),
            known: self.known.clone(),
            data: PhantomData,
            ..*self
        }
    }
}

impl<T> fmt::Debug for Sessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("name", &self.name)
            .field("idle", &self.idle)
            .field("longest", &self.longest)
            .field("ends_with_store", &self.ends_with_store)
            .finish_non_exhaustive()
    }
}

fn only_look(key: TagKey) -> TagProbe {
    TagProbe { key, propose: None }
}

fn is(state: TagState, number: u64) -> bool {
    matches!(state, TagState::Stamp(stamp) if stamp.get() == number)
}

fn stamp_of(state: Option<&TagState>) -> Result<u64, CacheError> {
    match state {
        Some(TagState::Stamp(stamp)) => Ok(stamp.get()),
        _ => {
            let reason = "it did not take a stamp; is its memory full?".to_owned();
            Err(CacheError::Store(StoreError::Refused { operation: "a session", reason }))
        }
    }
}

fn decode(bytes: &[u8]) -> Option<(Head, Vec<u8>)> {
    let mut reader = RowReader::new(bytes);
    let head = reader.plain("a session").ok()?;
    let data = bytes[bytes.len() - reader.remaining()..].to_vec();
    Some((head, data))
}
