//! The network's configuration and what the log says of it.

use embassy_net::{Config, Stack};

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

/// Logs the address whenever the device gets one, and when it loses it: with the cable, or with the lease.
pub(crate) async fn log_changes(stack: Stack<'_>) -> ! {
    defmt::info!("hardware address {}", stack.hardware_address());
    loop {
        if !stack.is_link_up() {
            defmt::info!("no link: is the cable plugged in?");
        }
        stack.wait_config_up().await;
        if let Some(config) = stack.config_v4() {
            defmt::info!("address {}", config.address);
        }
        stack.wait_config_down().await;
        defmt::warn!("address lost");
    }
}
