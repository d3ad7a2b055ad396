"""French, with months short and yet unlike each other: `juin` and `juil.`."""

SHORT_DATE_FORMAT = "j N Y"
SHORT_DATETIME_FORMAT = "j N Y, H:i"
