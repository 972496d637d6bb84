//! The network's configuration.

use embassy_net::Config;

/// By DHCP, or as `settings` say.
pub(crate) fn config() -> Config {
    #[cfg(feature = "static-ipv4")]
    return Config::ipv4_static(embassy_net::StaticConfigV4 {
        address: crate::settings::ADDRESS,
        gateway: crate::settings::GATEWAY,
        dns_servers: heapless::Vec::new(),
    });

    #[cfg(not(feature = "static-ipv4"))]
    {
        let mut dhcp = embassy_net::DhcpConfig::default();
        dhcp.hostname = Some(defmt::unwrap!(heapless::String::try_from(crate::settings::HOST_NAME)));
        Config::dhcpv4(dhcp)
    }
}
