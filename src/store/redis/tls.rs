//! TLS: whom to trust, and who we are.

use std::path::{Path, PathBuf};

use redis::{ConnectionAddr, ConnectionInfo};

/// The files that were configured.
pub(super) struct Files<'a> {
    pub(super) ca: Option<&'a Path>,
    pub(super) client: Option<&'a (PathBuf, PathBuf)>,
}

impl Files<'_> {
    fn is_empty(&self) -> bool {
        self.ca.is_none() && self.client.is_none()
    }
}

/// The same server, with these files, if it is spoken to with TLS.
pub(super) fn prepare(server: ConnectionInfo, files: &Files<'_>) -> Result<ConnectionInfo, String> {
    match server.addr() {
        ConnectionAddr::TcpTls { .. } => with_files(server, files),
        _ if files.is_empty() => Ok(server),
        _ => Err("certificates for TLS are given, but the address does not ask for TLS; write rediss://"
            .to_owned()),
    }
}

#[cfg(feature = "tls")]
fn with_files(server: ConnectionInfo, files: &Files<'_>) -> Result<ConnectionInfo, String> {
    use redis::{Client, ClientTlsConfig, TlsCertificates};

    // The process may have chosen another one, which is then used. To lose the race is as good.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    if files.is_empty() {
        return Ok(server);
    }
    let read = |what: &str, file: &Path| {
        let bytes = std::fs::read(file).map_err(|error| {
            format!("the file with {what} for TLS cannot be read ({}): {error}", file.display())
        })?;
        if bytes.windows(10).any(|text| text == b"-----BEGIN") {
            Ok(bytes)
        } else {
            Err(format!("the file with {what} for TLS is not PEM ({})", file.display()))
        }
    };
    let root_cert = files.ca.map(|file| read("the authority's certificates", file)).transpose()?;
    let client_tls = match files.client {
        None => None,
        Some((certificate, key)) => Some(ClientTlsConfig {
            client_cert: read("the client's certificate", certificate)?,
            client_key: read("the client's key", key)?,
        }),
    };
    let client = Client::build_with_tls(server, TlsCertificates { client_tls, root_cert })
        .map_err(|_| "the certificates or the key for TLS cannot be used; are they the right files?")?;
    Ok(client.get_connection_info().clone())
}

#[cfg(not(feature = "tls"))]
fn with_files(server: ConnectionInfo, files: &Files<'_>) -> Result<ConnectionInfo, String> {
    if files.is_empty() {
        // Another crate of this build has brought TLS along.
        return Ok(server);
    }
    Err("certificates for TLS are given, but this build has none; enable the feature `tls` of sea-orm-cache"
        .to_owned())
}
