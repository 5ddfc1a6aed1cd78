//! Old installations and stand-in services to rehearse upgrades on.
