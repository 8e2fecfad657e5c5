//! The hosts of a URL: one after the other is tried, each with a time of its own.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::{Host, LoadBalanceHosts};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::driver::GivenUp;
use crate::fault::Trouble;

/// What a client's calls go through.
pub(crate) type Link = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// How many addresses of a host have time to be tried, each for the driver's own limit: a name often has one of each kind.
pub(crate) const ADDRESSES: u32 = 2;

/// How many hosts there are to try.
pub(crate) fn count(config: &Config) -> usize {
    config.get_hosts().len().max(config.get_hostaddrs().len())
}

/// Connects to the first host that takes writes, or says where it tried and what came of it. The driver has a limit for the network's part
/// only: a host that takes the connection and says nothing would have the time of all.
pub(crate) async fn first(
    config: &Config,
    tls: &MakeRustlsConnect,
) -> Result<(Client, Link), Vec<(String, Trouble)>> {
    let mut hosts = each(config);
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        fastrand::shuffle(&mut hosts);
    }
    let limit = config.get_connect_timeout().copied().unwrap_or(Duration::MAX);
    let limit = limit.saturating_mul(ADDRESSES);
    let mut tried = Vec::new();
    for host in hosts {
        let trouble = match timeout(limit, host.connect(tls.clone())).await {
            Ok(Ok(made)) => return Ok(made),
            Ok(Err(error)) => error.into(),
            Err(_) => Trouble::GivenUp(GivenUp::After(limit)),
        };
        tried.push((places(&host), trouble));
    }
    Err(tried)
}

/// `db.example:5432`, or some of these.
pub(crate) fn places(config: &Config) -> String {
    let ports = config.get_ports();
    let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    let hosts = config.get_hosts().iter().enumerate().map(|(index, host)| match host {
        Host::Tcp(host) => format!("{host}:{}", port(index)),
        #[cfg(unix)]
        Host::Unix(folder) => format!("{}:{}", folder.display(), port(index)),
    });
    let addresses = config.get_hostaddrs().iter().enumerate();
    let addresses = addresses.map(|(index, address)| format!("{address}:{}", port(index)));
    let mut places: Vec<String> = hosts.collect();
    if places.is_empty() {
        places = addresses.collect();
    }
    places.join(",")
}

/// How to connect to each host alone. Lists that do not go together are left to the driver, which says so.
fn each(config: &Config) -> Vec<Config> {
    let (hosts, addresses, ports) =
        (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = count(config);
    let goes = |length: usize, least: usize| length <= least || length == count;
    if count < 2 || !goes(hosts.len(), 0) || !goes(addresses.len(), 0) || !goes(ports.len(), 1) {
        return vec![config.clone()];
    }
    let host = |place: usize| {
        let mut only = without_hosts(config);
        match hosts.get(place) {
            Some(Host::Tcp(name)) => only.host(name),
            #[cfg(unix)]
            Some(Host::Unix(folder)) => only.host_path(folder),
            None => &mut only,
        };
        if let Some(address) = addresses.get(place) {
            only.hostaddr(*address);
        }
        if let Some(port) = ports.get(place).or(ports.first()) {
            only.port(*port);
        }
        only
    };
    (0..count).map(host).collect()
}

/// All settings but those of hosts, which the driver cannot take back.
fn without_hosts(config: &Config) -> Config {
    let mut copy = Config::new();
    config.get_user().map(|user| copy.user(user));
    config.get_password().map(|password| copy.password(password));
    config.get_dbname().map(|name| copy.dbname(name));
    config.get_options().map(|options| copy.options(options));
    config.get_application_name().map(|name| copy.application_name(name));
    config.get_connect_timeout().map(|limit| copy.connect_timeout(*limit));
    config.get_tcp_user_timeout().map(|limit| copy.tcp_user_timeout(*limit));
    config.get_keepalives_interval().map(|interval| copy.keepalives_interval(interval));
    config.get_keepalives_retries().map(|retries| copy.keepalives_retries(retries));
    copy.ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts());
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every setting that a URL can have, none with its default.
    const OPTIONS: &str = "options=-cgeqo%3Doff&application_name=app&sslmode=require&sslnegotiation=direct&connect_timeout=3\
        &tcp_user_timeout=4&keepalives=0&keepalives_idle=5&keepalives_interval=6&keepalives_retries=7\
        &target_session_attrs=read-write&channel_binding=require&load_balance_hosts=random";

    fn parse(places: &str, more: &str) -> Config {
        format!("postgres://app:secret@{places}/db?{OPTIONS}{more}").parse().unwrap()
    }

    #[test]
    fn each_host_has_all_the_settings_of_the_url_and_its_own_port() {
        let (one, two) = (parse("one:1", ""), parse("two:2", ""));
        assert_eq!(each(&parse("one:1,two:2", "")), [one.clone(), two]);
        assert_eq!(each(&one), std::slice::from_ref(&one));
        let [one, two] = ["one", "two"].map(|host| parse("", &format!("&host={host}&port=9")));
        assert_eq!(each(&parse("", "&host=one&host=two&port=9")), [one, two]);
    }

    #[test]
    fn each_host_has_its_own_address() {
        let both = parse("one:1,two:2", "&hostaddr=127.0.0.1,127.0.0.2");
        let [one, two] = ["127.0.0.1", "127.0.0.2"].map(|address| format!("&hostaddr={address}"));
        assert_eq!(each(&both), [parse("one:1", &one), parse("two:2", &two)]);
    }

    #[test]
    fn lists_that_do_not_go_together_are_left_to_the_driver() {
        for config in [parse("one,two", "&port=1,2,3"), parse("one,two", "&hostaddr=127.0.0.1")] {
            assert_eq!(each(&config), std::slice::from_ref(&config));
        }
    }
}
